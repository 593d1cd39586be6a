package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/orders/internal/waittest"
)

type jobstatusAnswer struct {
	ID, State string
	Attempts  int
	Result    json.RawMessage
	Next      string
	Jobs      []struct{ ID, State, Kind string }
	Links     map[string]struct{ Href, Method string }
}

func jobstatusGet(t testing.TB, url string) jobstatusAnswer {
	t.Helper()
	status, body := get(t, url)
	mustEqual(t, body, status, http.StatusOK)
	var answer jobstatusAnswer
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return answer
}

func jobstatusAwait(t testing.TB, url, state string) jobstatusAnswer {
	t.Helper()
	var answer jobstatusAnswer
	waittest.Until(t, func() error {
		answer = jobstatusGet(t, url)
		if answer.State != state {
			return fmt.Errorf("%s is %s, want %s", url, answer.State, state)
		}
		return nil
	})
	return answer
}

func TestJobstatusFollowsAJob(t *testing.T) {
	s := startService(t, nil)
	place := workersMustAccept(t, s.URL, workersOrder("A-1"))
	job := jobstatusAwait(t, s.URL+place, "succeeded")
	var invoice struct {
		Order      string
		TotalCents int64 `json:"total_cents"`
	}
	if err := json.Unmarshal(job.Result, &invoice); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "order", invoice.Order, "A-1")
	mustEqual(t, "total", invoice.TotalCents, 900)
	mustEqual(t, "self", job.Links["self"].Href, place)
	status, body := get(t, s.URL+"/jobs?kind=%00")
	mustEqual(t, body, status, http.StatusBadRequest)
	for _, line := range []string{`jobstatus_reads_total{result="error"} 0`, `jobstatus_cancels_total{result="finished"} 0`} {
		if err := workersMetric(t, s.URL, line); err != nil {
			t.Error(err)
		}
	}
	if err := workersMetric(t, s.URL, `jobstatus_reads_total{result="ok"}`); err != nil {
		t.Error(err)
	}
}

func TestJobstatusCancels(t *testing.T) {
	s := startService(t, map[string]string{"WORKERS_REPORT_PAUSE": "1h", "WORKERS_CONCURRENCY": "1"})
	workersWaitForInvoiceOf(t, s.URL, "A-1")
	running := s.URL + workersMustAccept(t, s.URL, `{"kind":"report"}`)
	jobstatusAwait(t, running, "running")
	queued := s.URL + workersMustAccept(t, s.URL, `{"kind":"report"}`)
	later := s.URL + workersMustAccept(t, s.URL, fmt.Sprintf(`{"kind":"report","run_at":%q}`, time.Now().Add(time.Hour).Format(time.RFC3339)))
	resp, err := http.Get(later) //nolint:noctx // the service is the test's own
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || seconds < 60 {
		t.Errorf("Retry-After of a job in an hour: %q", resp.Header.Get("Retry-After"))
	}

	for _, job := range []struct {
		url  string
		want int
	}{
		{later, http.StatusOK},
		{queued, http.StatusOK},
		{running, http.StatusAccepted},
	} {
		status, body := send(t, http.MethodPost, job.url+"/cancel", "")
		mustEqual(t, body, status, job.want)
	}
	for _, url := range []string{later, queued, running} {
		jobstatusAwait(t, url, "cancelled")
	}
	list := jobstatusGet(t, s.URL+"/jobs?state=cancelled&kind=report&limit=2")
	mustEqual(t, "jobs in a page", len(list.Jobs), 2)
	rest := jobstatusGet(t, s.URL+"/jobs?state=cancelled&kind=report&limit=2&cursor="+list.Next)
	mustEqual(t, "jobs in the last page", len(rest.Jobs), 1)
	mustEqual(t, "next of the last page", rest.Next, "")

	done := s.URL + workersMustAccept(t, s.URL, workersOrder("A-2"))
	jobstatusAwait(t, done, "succeeded")
	status, body := send(t, http.MethodPost, done+"/cancel", "")
	mustEqual(t, body, status, http.StatusConflict)
	for _, sign := range []string{"0", "+", "%2B"} { // a job has one id
		status, body := get(t, strings.Replace(done, "/jobs/", "/jobs/"+sign, 1))
		mustEqual(t, body, status, http.StatusNotFound)
	}
}

// workersWaitForInvoiceOf places an order and waits for its invoice.
func workersWaitForInvoiceOf(t testing.TB, url, order string) {
	t.Helper()
	workersMustAccept(t, url, workersOrder(order))
	workersWaitForInvoice(t, url, order)
}

func TestJobstatusRefuses(t *testing.T) {
	s := startService(t, nil)
	for path, want := range map[string]int{
		"/jobs/4711":                 http.StatusNotFound,
		"/jobs/x":                    http.StatusNotFound,
		"/jobs/-1":                   http.StatusNotFound,
		"/jobs/99999999999999999999": http.StatusNotFound,
		"/jobs?state=asleep":         http.StatusBadRequest,
		"/jobs?limit=0":              http.StatusBadRequest,
		"/jobs?limit=101":            http.StatusBadRequest,
		"/jobs?cursor=x":             http.StatusBadRequest,
	} {
		status, body := get(t, s.URL+path)
		mustEqual(t, path+": "+body, status, want)
	}
	status, body := send(t, http.MethodPost, s.URL+"/jobs/4711/cancel", "")
	mustEqual(t, body, status, http.StatusNotFound)
}

func TestJobstatusBadConfigurationNamesTheVariable(t *testing.T) {
	env := defaultEnv(t)
	env["JOBSTATUS_RETENTION"] = "0s"
	err := run(t.Context(), func(key string) string { return env[key] }, t.Output(), t.Output())
	if err == nil || !strings.Contains(err.Error(), "JOBSTATUS_RETENTION") {
		t.Errorf("%v, want the variable named", err)
	}
}

// BenchmarkJobstatusPolled measures how long the pool takes for 200 jobs, with
// nobody who asks and with 64 callers who each ask ten times a second.
func BenchmarkJobstatusPolled(b *testing.B) {
	for _, callers := range []int{0, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := startService(b, nil)
			stop := jobstatusPoll(b, s.URL+workersMustAccept(b, s.URL, workersOrder("A")), callers)
			round := 0
			for b.Loop() {
				round++
				places := make([]string, 200)
				for i := range places {
					places[i] = workersMustAccept(b, s.URL, workersOrder(fmt.Sprintf("B-%d-%d", round, i)))
				}
				for _, place := range places {
					jobstatusAwait(b, s.URL+place, "succeeded")
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(stop())/b.Elapsed().Seconds(), "reads/s")
		})
	}
}

// jobstatusPoll lets callers ask for url until the function it returns is
// called, which returns how often they did.
func jobstatusPoll(b *testing.B, url string, callers int) (stop func() int64) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	done := make(chan struct{})
	var (
		all   sync.WaitGroup
		reads atomic.Int64
	)
	for range callers {
		all.Go(func() {
			ticker := time.NewTicker(100 * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-done:
					return
				case <-ticker.C:
				}
				resp, err := client.Get(url)
				if err != nil {
					b.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
					b.Errorf("%s, %v", resp.Status, err)
				}
				reads.Add(1)
			}
		})
	}
	return func() int64 {
		close(done)
		all.Wait()
		client.CloseIdleConnections()
		return reads.Load()
	}
}

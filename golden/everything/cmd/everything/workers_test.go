package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/orders/internal/waittest"
)

// workersSubmit posts a job and returns the answer and its body.
func workersSubmit(t testing.TB, url, key, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/jobs", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return do(t, req)
}

func workersOrder(id string) string {
	return fmt.Sprintf(`{"kind":"invoice","args":{"order":%q,"customer":"Ada","lines":[{"item":"tea","quantity":2,"cents":450}]}}`, id)
}

// workersMustAccept posts a job that must be accepted, and returns its place.
func workersMustAccept(t testing.TB, url, body string) string {
	t.Helper()
	resp, answer := workersSubmit(t, url, "", body)
	mustEqual(t, answer, resp.StatusCode, http.StatusAccepted)
	return resp.Header.Get("Location")
}

// workersWaitForInvoice waits until the order's job has run.
func workersWaitForInvoice(t testing.TB, url, order string) {
	t.Helper()
	waittest.Until(t, func() error {
		if status, body := get(t, url+"/invoices/"+order); status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
}

func workersMetric(t testing.TB, url, line string) error {
	t.Helper()
	_, metrics := get(t, url+"/metrics")
	return contains(metrics, line)
}

func TestWorkersAcceptAndWork(t *testing.T) {
	s := startService(t, nil)
	for _, name := range []string{"workers_job_duration_seconds_count", "workers_queue_wait_seconds_count"} {
		if err := workersMetric(t, s.URL, name+`{kind="invoice"} 0`+"\n"); err != nil {
			t.Error(err)
		}
	}
	resp, body := workersSubmit(t, s.URL, "", workersOrder("A-1"))
	mustEqual(t, body, resp.StatusCode, http.StatusAccepted)
	var job struct{ ID, Kind string }
	if err := json.Unmarshal([]byte(body), &job); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "kind", job.Kind, "invoice")
	mustEqual(t, "Location", resp.Header.Get("Location"), "/jobs/"+job.ID)
	workersWaitForInvoice(t, s.URL, "A-1")
	_, invoice := get(t, s.URL+"/invoices/A-1")
	if err := contains(invoice, `"customer":"Ada","total_cents":900`); err != nil {
		t.Error(err)
	}
	workersMustAccept(t, s.URL, `{"kind":"report"}`)
	for _, line := range []string{
		`workers_jobs_enqueued_total{kind="invoice"} 1`,
		`workers_jobs_finished_total{kind="invoice",outcome="completed"} 1`,
		`workers_jobs_finished_total{kind="report",outcome="completed"} 1`,
		`workers_jobs_finished_total{kind="report",outcome="discarded"} 0`,
		`workers_jobs_enqueued_total{kind="workers_cleanup"} `,
		`workers_job_duration_seconds_count{kind="invoice"} 1`,
		`workers_queue_wait_seconds_count{kind="invoice"} 1`,
		`workers_jobs_running{kind="report"} 0`,
		`workers_queue_depth{kind="invoice",state="available"} 0`,
		`workers_queue_oldest_seconds{kind="invoice"} 0`,
	} {
		waittest.Until(t, func() error { return workersMetric(t, s.URL, line) })
	}
}

func TestWorkersRefuse(t *testing.T) {
	s := startService(t, nil)
	workersMustAccept(t, s.URL, workersOrder("A-1"))
	for name, tt := range map[string]struct {
		body   string
		status int
		detail string
	}{
		"no JSON":           {`{"kind"`, http.StatusBadRequest, "ends in the middle"},
		"an unknown field":  {`{"kynd":"invoice"}`, http.StatusBadRequest, "kynd"},
		"an unknown kind":   {`{"kind":"nothing"}`, http.StatusUnprocessableEntity, "invoice, report"},
		"no args":           {`{"kind":"invoice"}`, http.StatusUnprocessableEntity, "order: must have 1"},
		"an unknown arg":    {`{"kind":"report","args":{"colour":1}}`, http.StatusUnprocessableEntity, "colour"},
		"a bad line":        {strings.Replace(workersOrder("A-2"), `"quantity":2`, `"quantity":0`, 1), http.StatusUnprocessableEntity, "lines[0].quantity"},
		"a zero byte":       {`{"kind":"report","args":{"customer":"a\u0000"}}`, http.StatusUnprocessableEntity, "customer"},
		"a time far off":    {`{"kind":"report","run_at":"9999-12-31T23:59:59-12:00"}`, http.StatusUnprocessableEntity, "run_at: must be"},
		"a wrong type":      {`{"kind":"invoice","args":[1]}`, http.StatusUnprocessableEntity, "args: a JSON array"},
		"no such time":      {`{"kind":"report","run_at":"soon"}`, http.StatusBadRequest, "run_at: must be an RFC 3339 time"},
		"an order that was": {workersOrder("A-1"), http.StatusConflict, "A-1"},
	} {
		resp, body := workersSubmit(t, s.URL, "", tt.body)
		mustEqual(t, name+": "+body, resp.StatusCode, tt.status)
		if err := contains(body, tt.detail); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	resp, _ := workersSubmit(t, s.URL, strings.Repeat("k", 256), `{"kind":"report"}`)
	mustEqual(t, "a long key", resp.StatusCode, http.StatusBadRequest)
	status, _ := get(t, s.URL+"/invoices/A-2")
	mustEqual(t, "no invoice", status, http.StatusNotFound)
	status, body := get(t, s.URL+"/invoices/%00")
	mustEqual(t, body, status, http.StatusBadRequest)
}

func TestWorkersIdempotencyKey(t *testing.T) {
	s := startService(t, nil)
	const requests = 16
	locations := make([]string, requests)
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() {
			resp, body := workersSubmit(t, s.URL, "key-1", workersOrder("A-1"))
			if resp.StatusCode != http.StatusAccepted {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			locations[i] = resp.Header.Get("Location")
		})
	}
	all.Wait()
	mustEqual(t, "different jobs", len(slices.Compact(locations)), 1)
	if err := workersMetric(t, s.URL, `workers_jobs_enqueued_total{kind="invoice"} 1`); err != nil {
		t.Error(err)
	}
	resp, _ := workersSubmit(t, s.URL, "key-1", " "+workersOrder("A-1"))
	mustEqual(t, "white space: replayed", resp.Header.Get("Idempotency-Replayed"), "true")
	resp, body := workersSubmit(t, s.URL, "key-1", workersOrder("A-2"))
	mustEqual(t, body, resp.StatusCode, http.StatusUnprocessableEntity)
	// A request that failed leaves its key free.
	resp, body = workersSubmit(t, s.URL, "key-2", workersOrder("A-1"))
	mustEqual(t, body, resp.StatusCode, http.StatusConflict)
	resp, body = workersSubmit(t, s.URL, "key-2", workersOrder("A-2"))
	mustEqual(t, body, resp.StatusCode, http.StatusAccepted)
}

func TestWorkersKeyExpires(t *testing.T) {
	s := startService(t, map[string]string{"WORKERS_KEY_TTL": "1ms"})
	first, _ := workersSubmit(t, s.URL, "key", `{"kind":"report"}`)
	waittest.Until(t, func() error {
		again, _ := workersSubmit(t, s.URL, "key", `{"kind":"report"}`)
		if again.Header.Get("Location") == first.Header.Get("Location") {
			return fmt.Errorf("still %s", first.Header.Get("Location"))
		}
		return nil
	})
}

// workersSaturate fills the pool with reports that never end, and the queue with
// more of them.
func workersSaturate(t testing.TB, url string, jobs int) {
	t.Helper()
	for range jobs {
		workersMustAccept(t, url, `{"kind":"report"}`)
	}
}

func TestWorkersRefuseWhenFull(t *testing.T) {
	s := startService(t, map[string]string{
		"WORKERS_CONCURRENCY": "1", "WORKERS_MAX_DEPTH": "3", "WORKERS_REPORT_PAUSE": "1h", "WORKERS_DRAIN_TIMEOUT": "10ms",
	})
	workersMustAccept(t, s.URL, workersOrder("A-1"))
	workersWaitForInvoice(t, s.URL, "A-1")
	waittest.Until(t, func() error {
		resp, body := workersSubmit(t, s.URL, "", `{"kind":"report"}`)
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			return fmt.Errorf("%s, Retry-After %q: %s", resp.Status, resp.Header.Get("Retry-After"), body)
		}
		return nil
	})
	workersMustAccept(t, s.URL, workersOrder("A-2")) // another kind
	waittest.Until(t, func() error {
		return workersMetric(t, s.URL, `workers_queue_oldest_seconds{kind="report"} `)
	})
}

// A service that is killed in the middle of its jobs loses none that it has
// accepted: what had begun begins again, what had not begins.
func TestWorkersKilledMidJob(t *testing.T) {
	t.Parallel()
	env := map[string]string{"WORKERS_JOB_TIMEOUT": "10s", "WORKERS_RESCUE_AFTER": "10100ms", "WORKERS_CONCURRENCY": "1", "WORKERS_REPORT_PAUSE": "1h"}
	first := startProcess(t, env)
	workersMustAccept(t, first.URL, workersOrder("A-0"))
	workersMustAccept(t, first.URL, `{"kind":"report"}`)
	waittest.Until(t, func() error { return workersMetric(t, first.URL, `workers_jobs_running{kind="report"} 1`) })
	const orders = 50
	for i := range orders {
		workersMustAccept(t, first.URL, workersOrder(fmt.Sprintf("A-%d", i+1)))
	}
	first.Kill()

	env = maps.Clone(first.Env)
	env["WORKERS_REPORT_PAUSE"] = "1ms"
	second := startProcess(t, env)
	for i := range orders + 1 {
		workersWaitForInvoice(t, second.URL, fmt.Sprintf("A-%d", i))
	}
	waittest.Until(t, func() error {
		return workersMetric(t, second.URL, `workers_jobs_finished_total{kind="report",outcome="completed"} 1`)
	})
}

func TestWorkersBadConfigurationNamesTheVariable(t *testing.T) {
	for variable, value := range map[string]string{
		"WORKERS_CONCURRENCY":  "0",
		"WORKERS_LIMITS":       "nothing:1",
		"WORKERS_REPORT_PAUSE": "soon",
	} {
		env := defaultEnv(t)
		env[variable] = value
		err := run(t.Context(), func(key string) string { return env[key] }, t.Output(), t.Output())
		if err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%s=%s: %v, want the variable named", variable, value, err)
		}
	}
}

// BenchmarkWorkersSubmit measures from the request to the job's id while every
// worker is busy: one kind is full with a queue behind it, and the other works
// on what the benchmark enqueues.
func BenchmarkWorkersSubmit(b *testing.B) {
	s := startService(b, map[string]string{"WORKERS_REPORT_PAUSE": "1h", "WORKERS_DRAIN_TIMEOUT": "10ms", "WORKERS_MAX_DEPTH": "1000000"})
	workersMustAccept(b, s.URL, workersOrder("A-0"))
	workersSaturate(b, s.URL, 200)
	for i := range 200 {
		workersMustAccept(b, s.URL, workersOrder(fmt.Sprintf("warm-%d", i)))
	}
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		body := workersOrder(fmt.Sprintf("B-%d", i))
		start := time.Now()
		workersMustAccept(b, s.URL, body)
		took = append(took, time.Since(start))
	}
	reportTimes(b, took)
}

// BenchmarkWorkersJobs measures how many jobs are placed and worked in a second:
// orders are placed one after the other, and then all invoices waited for.
func BenchmarkWorkersJobs(b *testing.B) {
	const jobs = 1000
	for _, concurrency := range []string{"4", "32"} {
		b.Run("concurrency="+concurrency, func(b *testing.B) {
			s := startService(b, map[string]string{"WORKERS_CONCURRENCY": concurrency})
			round := 0
			for b.Loop() {
				order := func(i int) string { return fmt.Sprintf("J-%d-%d", round, i) }
				for i := range jobs {
					workersMustAccept(b, s.URL, workersOrder(order(i)))
				}
				for i := range jobs {
					workersWaitForInvoice(b, s.URL, order(i))
				}
				round++
			}
			b.ReportMetric(float64(round*jobs)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

func TestWorkersContradictions(t *testing.T) {
	refuseTogether(t, map[string]string{"WORKERS_DRAIN_TIMEOUT": "26s"}, "WORKERS_DRAIN_TIMEOUT=26s: must not be more than SHUTDOWN_TIMEOUT=25s")
	refuseTogether(t, map[string]string{"WORKERS_DRAIN_TIMEOUT": "20s"}, "")
	refuseTogether(t, map[string]string{"WORKERS_RESCUE_AFTER": "1m"}, "WORKERS_RESCUE_AFTER=1m0s: must be longer than WORKERS_JOB_TIMEOUT=1m0s")
	refuseTogether(t, map[string]string{"WORKERS_REPORT_PAUSE": "-1ms"}, "WORKERS_REPORT_PAUSE=-1ms")
}

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.com/orders/internal/waittest"
)

func pollingPut(t testing.TB, url string, home int) {
	t.Helper()
	status, body := send(t, http.MethodPut, url, fmt.Sprintf(`{"home":%d,"away":0}`, home))
	mustEqual(t, body, status, http.StatusOK)
}

// pollingAsk asks for url with a tag that the caller has.
func pollingAsk(t testing.TB, url, tag string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("If-None-Match", tag)
	return do(t, req)
}

func pollingTag(t testing.TB, url string) string {
	t.Helper()
	resp, _ := pollingAsk(t, url, `"none"`)
	mustEqual(t, "the status", resp.StatusCode, http.StatusOK)
	return resp.Header.Get("ETag")
}

// pollingMetric returns the value of a metric, with its labels if it has any.
func pollingMetric(t testing.TB, url, name string) float64 {
	t.Helper()
	_, body := get(t, url+"/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func pollingAwait(t testing.TB, url, name string, want int) {
	t.Helper()
	waittest.Until(t, func() error {
		if got := pollingMetric(t, url, name); int(got) != want {
			return fmt.Errorf("%s is %v, want %d", name, got, want)
		}
		return nil
	})
}

func TestPollingRoutes(t *testing.T) {
	s := startService(t, nil)
	for _, tt := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{http.MethodGet, "/scores/final", "", http.StatusNotFound, "no score"},
		{http.MethodPut, "/scores/final", `{"home":1,"away":0}`, http.StatusOK, `{"home":1,"away":0}`},
		{http.MethodGet, "/scores/final", "", http.StatusOK, `{"home":1,"away":0}`},
		{http.MethodGet, "/scores/final?wait=soon", "", http.StatusBadRequest, "wait:"},
		{http.MethodGet, "/scores/%00", "", http.StatusBadRequest, "UTF-8"},
		{http.MethodPut, "/scores/a.b", `{"home":1,"away":0}`, http.StatusBadRequest, "id"},
		{http.MethodPut, "/scores/final", `{"home":-1,"away":0}`, http.StatusBadRequest, "home"},
		{http.MethodPut, "/scores/final", `{"home":"two"}`, http.StatusBadRequest, "home"},
	} {
		status, body := send(t, tt.method, s.URL+tt.path, tt.body)
		mustEqual(t, tt.path+" "+body, status, tt.status)
		if err := contains(body, tt.answer); err != nil {
			t.Error(err)
		}
	}
}

// The example keeps as much as it may, and no more.
func TestPollingTooManyMatches(t *testing.T) {
	s := startService(t, nil)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for i := range maxMatches + 1 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, fmt.Sprintf("%s/scores/%d", s.URL, i), strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		want := http.StatusOK
		if i == maxMatches {
			want = http.StatusConflict
		}
		mustEqual(t, fmt.Sprint("match ", i), resp.StatusCode, want)
	}
}

// A change under a condition is made where that holds, and not otherwise.
func TestPollingPutsUnderConditions(t *testing.T) {
	s := startService(t, nil)
	url := s.URL + "/scores/final"
	put := func(header, value string, home, want int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(fmt.Sprintf(`{"home":%d,"away":0}`, home)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(header, value)
		resp, body := do(t, req)
		mustEqual(t, header+": "+value+": "+body, resp.StatusCode, want)
	}
	put("If-Match", "*", 1, http.StatusPreconditionFailed)
	put("If-None-Match", "*", 1, http.StatusOK)
	put("If-None-Match", "*", 2, http.StatusPreconditionFailed)
	tag := pollingTag(t, url)
	put("If-Match", tag, 3, http.StatusOK)
	put("If-Match", tag, 4, http.StatusPreconditionFailed)
	put("If-Match", "*", 5, http.StatusOK)
	_, body := get(t, url)
	mustEqual(t, "the score", body, `{"home":5,"away":0}`+"\n")
	status, body := get(t, url+"?wait=1s;x")
	mustEqual(t, body, status, http.StatusBadRequest)
}

// The whole service: its timeouts, middleware and shutdown around a wait.
func TestPollingWaits(t *testing.T) {
	s := startService(t, map[string]string{"HTTP_READ_TIMEOUT": "500ms"})
	url := s.URL + "/scores/final"
	pollingPut(t, url, 0)
	tag := pollingTag(t, url)
	resp, _ := pollingAsk(t, url+"?wait=1s", tag)
	mustEqual(t, "after a wait without a change", resp.StatusCode, http.StatusNotModified)
	mustEqual(t, "loads", pollingMetric(t, s.URL, `polling_reads_total{read="load",result="ok"}`), 1)

	type answer struct {
		resp *http.Response
		body string
	}
	wait := func(tag string) <-chan answer {
		answers := make(chan answer, 1)
		go func() {
			resp, body := pollingAsk(t, url+"?wait=30s", tag)
			answers <- answer{resp, body}
		}()
		pollingAwait(t, s.URL, "polling_waiters", 1)
		return answers
	}
	answers := wait(tag)
	pollingPut(t, url, 1)
	changed := <-answers
	mustEqual(t, changed.body, changed.resp.StatusCode, http.StatusOK)
	mustEqual(t, "the score", changed.body, `{"home":1,"away":0}`+"\n")

	answers = wait(changed.resp.Header.Get("ETag"))
	begin := time.Now()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the service took %s to stop with an open wait", took)
	}
	drained := <-answers
	mustEqual(t, "when the service stops", drained.resp.StatusCode, http.StatusNotModified)
	mustEqual(t, "the connection is closed", drained.resp.Close, true)
}

// The process is killed: those who wait see their connection break off, and no
// tag of that process means anything to the next.
func TestPollingSurvivesAKill(t *testing.T) {
	first := startProcess(t, nil)
	pollingPut(t, first.URL+"/scores/final", 1)
	tag := pollingTag(t, first.URL+"/scores/final")
	broken := make(chan error, 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, first.URL+"/scores/final?wait=30s", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("If-None-Match", tag)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		broken <- err
	}()
	pollingAwait(t, first.URL, "polling_waiters", 1)
	first.Kill()
	if err := <-broken; err == nil {
		t.Error("the wait was answered by a process that is dead")
	}
	second := startProcess(t, first.Env)
	status, _ := get(t, second.URL+"/scores/final")
	mustEqual(t, "the score after the restart", status, http.StatusNotFound)
	pollingPut(t, second.URL+"/scores/final", 2)
	resp, body := pollingAsk(t, second.URL+"/scores/final", tag)
	mustEqual(t, "with the tag of before: "+body, resp.StatusCode, http.StatusOK)
}

// Ten thousand callers wait over as many connections: what they cost, and how
// they are all answered at a change and when the service stops.
func TestPollingTenThousandWait(t *testing.T) {
	p := pollingParkMany(t)
	t.Logf("%d callers wait: %.1f KB each", len(p.conns), p.bytesEach(t)/1024)
	// One more is not kept, and gets no error.
	resp, _ := pollingAsk(t, p.url+"?wait=30s", p.tag)
	mustEqual(t, "one caller more", resp.StatusCode, http.StatusNotModified)

	loads := pollingMetric(t, p.service.URL, `polling_reads_total{read="load",result="ok"}`)
	times := p.change(t, 1)
	mustEqual(t, "loads for one change", pollingMetric(t, p.service.URL, `polling_reads_total{read="load",result="ok"}`)-loads, 1)
	t.Logf("told of a change: half of them after %s, 99%% after %s, all after %s",
		times[len(times)/2], times[len(times)*99/100], times[len(times)-1])

	p.park(t)
	each := p.bytesEach(t)
	t.Logf("all wait again: %.1f KB each", each/1024)
	if each > pollingMaxWaiterBytes {
		t.Errorf("a caller who waits costs %.0f bytes, want at most %d", each, pollingMaxWaiterBytes)
	}
	begin := time.Now()
	if err := p.service.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.read(t, http.StatusNotModified, true)
	if err := p.service.cmd.Wait(); err != nil {
		t.Errorf("the process ended with: %v", err)
	}
	t.Logf("answered and stopped after %s", time.Since(begin))
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s to stop", took)
	}
}

// BenchmarkPollingParked measures what a caller who waits costs the whole service,
// and how long it takes until all of them have a change.
func BenchmarkPollingParked(b *testing.B) {
	p := pollingParkMany(b)
	var all []time.Duration
	score := 0
	for b.Loop() {
		score++
		all = append(all, p.change(b, score)...)
		p.park(b)
	}
	slices.Sort(all)
	b.ReportMetric(float64(len(p.conns)), "waiters")
	b.ReportMetric(p.bytesEach(b), "bytes/waiter")
	b.ReportMetric(float64(all[len(all)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Milliseconds()), "p99-ms")
}

// A pollingCrowd is callers who wait for the same score of a service in a process
// of its own.
type pollingCrowd struct {
	service *serviceProcess
	url     string
	tag     string
	conns   []net.Conn
	readers []*bufio.Reader
	before  float64 // memory of the process without callers
}

// bytesEach returns the process's memory for each caller.
func (p *pollingCrowd) bytesEach(t testing.TB) float64 {
	t.Helper()
	return (pollingMetric(t, p.service.URL, "process_resident_memory_bytes") - p.before) / float64(len(p.conns))
}

// pollingParkMany returns as many callers as the files allow, all of them waiting.
func pollingParkMany(t testing.TB) *pollingCrowd {
	t.Helper()
	callers := pollingManyWaiters
	if limit := pollingOpenFiles(t); callers > limit-300 {
		callers = limit - 300
		t.Logf("only %d files may be open: %d callers", limit, callers)
	}
	p := &pollingCrowd{conns: make([]net.Conn, callers), readers: make([]*bufio.Reader, callers)}
	p.service = startProcess(t, map[string]string{
		"POLLING_MAX_WAITERS": strconv.Itoa(callers), "POLLING_MAX_KEY_WAITERS": strconv.Itoa(callers),
		"POLLING_MAX_WAIT": "10m", "POLLING_WRITE_TIMEOUT": "10s", "LOG_LEVEL": "ERROR",
	})
	p.url = p.service.URL + "/scores/final"
	pollingPut(t, p.url, 0)
	p.tag = pollingTag(t, p.url)
	p.before = pollingMetric(t, p.service.URL, "process_resident_memory_bytes")
	t.Cleanup(func() {
		for _, conn := range p.conns {
			if conn != nil {
				_ = conn.Close() // it was read as far as it was wanted
			}
		}
	})
	p.each(t, func(i int) error {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.service.URL, "http://")) //nolint:noctx // loopback
		if err == nil {
			p.conns[i], p.readers[i] = conn, bufio.NewReaderSize(conn, 1024)
		}
		return err
	})
	p.park(t)
	return p
}

// each calls do for each caller, 16 at a time.
func (p *pollingCrowd) each(t testing.TB, do func(i int) error) {
	t.Helper()
	var all sync.WaitGroup
	for part := range 16 {
		all.Go(func() {
			for i := part; i < len(p.conns); i += 16 {
				if err := do(i); err != nil {
					t.Errorf("caller %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// park has all callers wait.
func (p *pollingCrowd) park(t testing.TB) {
	t.Helper()
	p.each(t, func(i int) error {
		_, err := fmt.Fprintf(p.conns[i], "GET /scores/final?wait=10m HTTP/1.1\r\nHost: x\r\nIf-None-Match: %s\r\n\r\n", p.tag)
		return err
	})
	pollingAwait(t, p.service.URL, "polling_waiters", len(p.conns))
}

// change sets the score, and returns after what time each had it, in order.
func (p *pollingCrowd) change(t testing.TB, score int) []time.Duration {
	t.Helper()
	begin := time.Now()
	pollingPut(t, p.url, score)
	times := p.read(t, http.StatusOK, false)
	after := make([]time.Duration, len(times))
	for i := range times {
		after[i] = times[i].Sub(begin)
	}
	slices.Sort(after)
	return after
}

// read reads the answers of all, and returns when they were there.
func (p *pollingCrowd) read(t testing.TB, status int, closes bool) []time.Time {
	t.Helper()
	times, tags := make([]time.Time, len(p.conns)), make([]string, len(p.conns))
	p.each(t, func(i int) error {
		if err := p.conns[i].SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			return err
		}
		resp, err := http.ReadResponse(p.readers[i], nil)
		if err != nil {
			return err
		}
		times[i], tags[i] = time.Now(), resp.Header.Get("ETag")
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != status || resp.Close != closes {
			return fmt.Errorf("%s, closes %v", resp.Status, resp.Close)
		}
		return resp.Body.Close()
	})
	p.tag = tags[0]
	if i := slices.IndexFunc(tags, func(tag string) bool { return tag != p.tag }); i >= 0 {
		t.Fatalf("caller %d has the version %s, caller 0 has %s", i, tags[i], p.tag)
	}
	return times
}

func TestPollingContradictions(t *testing.T) {
	refuseTogether(t, map[string]string{"POLLING_WRITE_TIMEOUT": "13s"}, "POLLING_WRITE_TIMEOUT=13s: must not be more than HTTP_CLOSE_TIMEOUT=12s")
	refuseTogether(t, map[string]string{"POLLING_WRITE_TIMEOUT": "12s"}, "")
}

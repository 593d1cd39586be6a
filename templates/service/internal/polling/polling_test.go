package polling_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/httpapi"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/polling"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/polling/scores"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig() polling.Config {
	return polling.Config{
		MaxWait:       time.Minute,
		MaxWaiters:    1000,
		MaxKeyWaiters: 1000,
		CheckInterval: 0,
		MaxChecks:     2,
		ReadTimeout:   10 * time.Second,
		WriteTimeout:  10 * time.Second,
		Retry:         5 * time.Second,
		ReturnRate:    1000,
	}
}

// A watched is the store, which counts what is read of it and does what the test
// puts in between.
type watched struct {
	*scores.Store
	versions, loads atomic.Int64
	silent          atomic.Bool                                           // it does not answer
	onVersion       func(polling.Version, error) (polling.Version, error) // nil for nothing
	onLoad          func(any) (any, error)                                // nil for nothing
}

func (s *watched) Version(ctx context.Context, key string) (polling.Version, error) {
	s.versions.Add(1)
	if s.silent.Load() {
		<-ctx.Done()
		return polling.Version{}, ctx.Err()
	}
	v, err := s.Store.Version(ctx, key)
	if s.onVersion != nil {
		return s.onVersion(v, err)
	}
	return v, err
}

func (s *watched) Load(ctx context.Context, key string) (polling.Version, any, error) {
	s.loads.Add(1)
	v, value, err := s.Store.Load(ctx, key)
	if s.onLoad != nil && err == nil {
		value, err = s.onLoad(value)
	}
	return v, value, err
}

// A fixture is a poller around a store with one match, "final", served over TCP.
type fixture struct {
	*polling.Poller
	*polling.Resource
	store    *watched
	registry *prometheus.Registry
	url      string
}

func setup(t testing.TB, config polling.Config) *fixture {
	t.Helper()
	store := &watched{Store: scores.New(100)}
	f := share(t, config, store)
	f.put(t, 0)
	return f
}

// share returns one more poller around the store, as another instance has it.
func share(t testing.TB, config polling.Config, store *watched) *fixture {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	f := &fixture{store: store, registry: prometheus.NewRegistry()}
	f.Poller = polling.New(config, slog.New(slog.NewTextHandler(t.Output(), nil)), f.registry)
	f.Resource = f.Poller.Resource(store)
	mux := http.NewServeMux()
	mux.Handle("GET /{id}", httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
		err := f.Serve(w, r, r.PathValue("id"))
		if errors.Is(err, polling.ErrNotFound) {
			return httpapi.NewProblem(http.StatusNotFound, "")
		}
		return err
	}))
	srv := httptest.NewUnstartedServer(mux)
	// Timeouts as a service has them, shorter than a wait.
	srv.Config.ReadTimeout = 2 * time.Second
	srv.Config.WriteTimeout = 2 * time.Second
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	srv.Start()
	t.Cleanup(func() {
		f.Drain()
		srv.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	f.url = srv.URL + "/final"
	return f
}

func (f *fixture) put(t testing.TB, home int) {
	t.Helper()
	if err := f.store.Put("final", scores.Score{Home: home}, nil); err != nil {
		t.Fatal(err)
	}
}

// run looks for changes until the test ends.
func (f *fixture) run(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

type answer struct {
	code   int
	header http.Header
	body   string
	closes bool // the connection
	err    error
}

func (f *fixture) ask(ctx context.Context, method, query string, headers ...string) answer {
	req, err := http.NewRequestWithContext(ctx, method, f.url+query, http.NoBody)
	if err != nil {
		return answer{err: err}
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }() // was read to its end
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body), resp.Close, err}
}

func (f *fixture) get(t testing.TB, query string, headers ...string) answer {
	t.Helper()
	a := f.ask(t.Context(), http.MethodGet, query, headers...)
	if a.err != nil {
		t.Fatal(a.err)
	}
	return a
}

func (f *fixture) tag(t testing.TB) string {
	t.Helper()
	return f.get(t, "").header.Get("ETag")
}

// park has that many callers wait, and returns when they all do.
func (f *fixture) park(t testing.TB, callers int, query, tag string) <-chan answer {
	t.Helper()
	before, reads := f.metric(t, "polling_waiters"), f.metric(t, "polling_reads_total", "version", "ok")
	answers := make(chan answer, callers)
	for range callers {
		go func() { answers <- f.ask(t.Context(), http.MethodGet, query, "If-None-Match", tag) }()
	}
	f.await(t, "polling_waiters", before+float64(callers))
	waittest.Until(t, func() error { // a caller is counted before it reads the version
		if n := f.metric(t, "polling_reads_total", "version", "ok") - reads; n < float64(callers) {
			return fmt.Errorf("%v of %d callers have read the version", n, callers)
		}
		return nil
	})
	return answers
}

func (f *fixture) await(t testing.TB, metric string, want float64, labels ...string) {
	t.Helper()
	waittest.Until(t, func() error {
		if got := f.metric(t, metric, labels...); got != want {
			return fmt.Errorf("%s %v is %v, want %v", metric, labels, got, want)
		}
		return nil
	})
}

// metric returns the value of a metric that has these values of its labels.
func (f *fixture) metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, pair := range m.GetLabel() {
				values = append(values, pair.GetValue())
			}
			if strings.Join(values, ",") == strings.Join(labels, ",") {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Fatalf("no metric %s %v", name, labels)
	return 0
}

func TestConditionalRequests(t *testing.T) {
	t.Parallel()
	f := setup(t, testConfig())
	tag := f.tag(t)
	for name, tt := range map[string]struct {
		headers []string
		want    int
	}{
		"no tag":                      {nil, 200},
		"this version":                {[]string{"If-None-Match", tag}, 304},
		"made weak by a proxy":        {[]string{"If-None-Match", "W/" + tag}, 304},
		"another version":             {[]string{"If-None-Match", `"x"`}, 200},
		"one of many":                 {[]string{"If-None-Match", `"x", W/"y",` + tag + ` , "z"`}, 304},
		"none of many":                {[]string{"If-None-Match", `"x", W/"y"`}, 200},
		"in two lines":                {[]string{"If-None-Match", `"x"`, "If-None-Match", tag}, 304},
		"behind empty elements":       {[]string{"If-None-Match", `, ,` + tag}, 304},
		"behind a tag with a comma":   {[]string{"If-None-Match", `"a,b", ` + tag}, 304},
		"within a tag":                {[]string{"If-None-Match", `"a,` + strings.Trim(tag, `"`) + `,b"`}, 200},
		"any version":                 {[]string{"If-None-Match", "*"}, 304},
		"without quotes":              {[]string{"If-None-Match", strings.Trim(tag, `"`)}, 200},
		"no end":                      {[]string{"If-None-Match", strings.TrimSuffix(tag, `"`)}, 200},
		"a small w":                   {[]string{"If-None-Match", "w/" + tag}, 200},
		"behind what is no tag":       {[]string{"If-None-Match", `x, ` + tag}, 200},
		"two tags without a comma":    {[]string{"If-None-Match", `"x" ` + tag}, 200},
		"a space within a tag":        {[]string{"If-None-Match", `"a b", ` + tag}, 200},
		"empty":                       {[]string{"If-None-Match", ""}, 200},
		"if it is this version":       {[]string{"If-Match", tag}, 200},
		"if it is any version":        {[]string{"If-Match", "*"}, 200},
		"if it is another version":    {[]string{"If-Match", `"x"`}, 412},
		"if it is weakly this":        {[]string{"If-Match", "W/" + tag}, 412},
		"if it is what can't be":      {[]string{"If-Match", "x"}, 412},
		"If-Match is looked at first": {[]string{"If-Match", `"x"`, "If-None-Match", tag}, 412},
		"both hold":                   {[]string{"If-Match", tag, "If-None-Match", tag}, 304},
		"a date is of no use":         {[]string{"If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"}, 200},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			a := f.ask(t.Context(), method, "", tt.headers...)
			if a.err != nil {
				t.Fatal(a.err)
			}
			if a.code != tt.want || a.header.Get("ETag") != tag {
				t.Errorf("%s, %s: %d with ETag %q, want %d with %q", method, name, a.code, a.header.Get("ETag"), tt.want, tag)
			}
			if hasBody := a.body != ""; hasBody != (method == http.MethodGet && a.code != 304) {
				t.Errorf("%s, %s: body %q", method, name, a.body)
			}
			if a.code == 412 {
				continue
			}
			if a.header.Get("Cache-Control") != "private, no-cache" || a.header.Get("Retry-After") != "5" || a.header.Get("Retry-After-Ms") != "5000" {
				t.Errorf("%s, %s: header %v", method, name, a.header)
			}
			if length := a.header.Get("Content-Length"); (length != "") != (a.code == 200) {
				t.Errorf("%s, %s: Content-Length %q", method, name, length)
			}
		}
	}
	if got := f.metric(t, "polling_answers_total", "refused"); got != 8 {
		t.Errorf("%v refused, want 8", got)
	}
}

// Versions can be any text, and are told apart whatever they are.
func TestOddVersions(t *testing.T) {
	t.Parallel()
	f := setup(t, testConfig())
	seen := make(map[string]string)
	for _, version := range []string{"", "1", `a"b`, "a b", "ä", strings.Repeat("x", 64), strings.Repeat("x", 65), strings.Repeat("x", 66), "a,b", `W/`} {
		for _, weak := range []bool{false, true} {
			f.store.onVersion = func(v polling.Version, err error) (polling.Version, error) {
				v.Tag, v.Weak = version, weak
				return v, err
			}
			a := f.get(t, "", "If-None-Match", "*")
			tag := a.header.Get("ETag")
			if other, ok := seen[tag]; ok {
				t.Errorf("%q and %q are both %s", version, other, tag)
			}
			seen[tag] = version
			if strings.HasPrefix(tag, "W/") != weak {
				t.Errorf("%q, weak %v: %s", version, weak, tag)
			}
			if a := f.get(t, "", "If-None-Match", `"x", `+tag); a.code != 304 {
				t.Errorf("%q, weak %v: %s comes back as %d", version, weak, tag, a.code)
			}
			if a := f.get(t, "", "If-Match", tag); a.code == 412 != weak {
				t.Errorf("%q, weak %v: If-Match: %d", version, weak, a.code)
			}
		}
	}
}

// A caller that waits, and announced a body that it does not send, is held on to no
// longer than any that does not read its answer.
func TestABodyThatNeverComes(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.WriteTimeout = 500 * time.Millisecond
	f := setup(t, config)
	tag := f.tag(t)
	for _, release := range []func(){func() { f.put(t, 1); f.Changed("final") }, f.Drain} {
		reads := f.metric(t, "polling_reads_total", "version", "ok")
		conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(f.url, "http://"), "/final"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }() // was closed by the server
		if _, err := fmt.Fprintf(conn, "GET /final?wait=1m HTTP/1.1\r\nHost: x\r\nIf-None-Match: %s\r\nContent-Length: 10\r\n\r\n", tag); err != nil {
			t.Fatal(err)
		}
		f.await(t, "polling_waiters", 1)
		f.await(t, "polling_reads_total", reads+1, "version", "ok")
		release()
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the connection is still open")
		}
		f.await(t, "polling_waiters", 0)
		tag = f.tag(t)
	}
}

func TestA304CostsTheVersionAlone(t *testing.T) {
	t.Parallel()
	f := setup(t, testConfig())
	tag := f.tag(t)
	versions, loads := f.store.versions.Load(), f.store.loads.Load()
	for _, query := range []string{"", "?wait=0s", "?wait=10ms"} {
		if a := f.get(t, query, "If-None-Match", tag); a.code != 304 {
			t.Errorf("%s: %d", query, a.code)
		}
	}
	if v, l := f.store.versions.Load()-versions, f.store.loads.Load()-loads; v != 3 || l != 0 {
		t.Errorf("three 304s cost %d reads of the version and %d loads, want 3 and 0", v, l)
	}
	if got := f.metric(t, "polling_reads_total", "version", "ok"); got != 4 {
		t.Errorf("%v reads of the version are counted, want 4", got)
	}
}

// With thousands of things that are waited for, the store has no more reads at
// once than it is allowed to.
func TestChecksAreBounded(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.CheckInterval = 5 * time.Millisecond
	f := setup(t, config)
	url := strings.TrimSuffix(f.url, "final")
	var answers []<-chan answer
	for i := range 20 {
		id := fmt.Sprint("m", i)
		if err := f.store.Put(id, scores.Score{}, nil); err != nil {
			t.Fatal(err)
		}
		f.url = url + id
		answers = append(answers, f.park(t, 1, "?wait=1m", f.tag(t)))
	}
	var now, most atomic.Int64
	meet, stop := make(chan struct{}), make(chan struct{})
	f.store.onVersion = func(v polling.Version, err error) (polling.Version, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		select { // a read takes until there is another one
		case meet <- struct{}{}:
		case <-meet:
		case <-stop:
		}
		return v, err
	}
	f.run(t)
	waittest.Until(t, func() error {
		if n := f.metric(t, "polling_reads_total", "check", "ok"); n < 60 {
			return fmt.Errorf("%v checks", n)
		}
		return nil
	})
	if n := most.Load(); n != 2 {
		t.Errorf("%d reads at once, want 2", n)
	}
	if f.metric(t, "polling_check_round_seconds") <= 0 {
		t.Error("the round took no time")
	}
	close(stop)
	f.Drain()
	for _, a := range answers {
		if a := <-a; a.code != 304 {
			t.Errorf("%+v", a)
		}
	}
}

// While the store is away nobody is told that something has changed, and who
// waits goes on; when it is back, the change is seen.
func TestTheStoreIsAway(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.CheckInterval = 5 * time.Millisecond
	f := setup(t, config)
	tag := f.tag(t)
	answers := f.park(t, 5, "?wait=1m", tag)
	var away atomic.Bool
	away.Store(true)
	outage := httpapi.NewProblem(http.StatusServiceUnavailable, "The store is away.")
	f.store.onVersion = func(v polling.Version, err error) (polling.Version, error) {
		if away.Load() {
			return polling.Version{}, outage
		}
		return v, err
	}
	f.put(t, 1)
	f.run(t)
	waittest.Until(t, func() error {
		if n := f.metric(t, "polling_reads_total", "check", "error"); n < 3 {
			return fmt.Errorf("%v checks have failed", n)
		}
		return nil
	})
	for _, query := range []string{"", "?wait=1m"} {
		if a := f.get(t, query, "If-None-Match", tag); a.code != http.StatusServiceUnavailable {
			t.Errorf("%q: %d", query, a.code)
		}
	}
	f.await(t, "polling_waiters", 5)
	away.Store(false)
	for range 5 {
		if a := <-answers; a.code != 200 {
			t.Errorf("%+v", a)
		}
	}
	f.await(t, "polling_answers_total", 2, "failed")
}

// A store that does not answer is not waited for.
func TestTheStoreDoesNotAnswer(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.ReadTimeout = 20 * time.Millisecond
	f := setup(t, config)
	tag := f.tag(t)
	f.store.silent.Store(true)
	for _, query := range []string{"", "?wait=1m"} {
		if a := f.get(t, query, "If-None-Match", tag); a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("%q: %+v", query, a)
		}
	}
	f.await(t, "polling_waiters", 0)
	f.await(t, "polling_reads_total", 2, "version", "error")
}

// A load that fails, panics or takes too long is answered with an error, to all
// who share it, and the next one is its own.
func TestALoadThatFails(t *testing.T) {
	t.Parallel()
	for name, onLoad := range map[string]func(any) (any, error){
		"an error":        func(any) (any, error) { return nil, httpapi.NewProblem(http.StatusServiceUnavailable, "") },
		"a panic":         func(any) (any, error) { panic("oh") },
		"what is no JSON": func(any) (any, error) { return func() {}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, testConfig())
			answers := f.park(t, 5, "?wait=1m", f.tag(t))
			f.store.onLoad = onLoad
			f.put(t, 1)
			f.Changed("final")
			for range 5 {
				if a := <-answers; a.err == nil && a.code < 500 {
					t.Errorf("%+v", a)
				}
			}
			f.await(t, "polling_waiters", 0)
			f.store.onLoad = nil
			if a := f.get(t, ""); a.code != 200 {
				t.Errorf("after it: %+v", a)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for variable, change := range map[string]func(*polling.Config){
		"POLLING_MAX_WAIT":        func(c *polling.Config) { c.MaxWait = 0 },
		"POLLING_MAX_WAITERS":     func(c *polling.Config) { c.MaxWaiters = -1 },
		"POLLING_MAX_KEY_WAITERS": func(c *polling.Config) { c.MaxKeyWaiters = 0 },
		"POLLING_CHECK_INTERVAL":  func(c *polling.Config) { c.CheckInterval = -1 },
		"POLLING_MAX_CHECKS":      func(c *polling.Config) { c.MaxChecks = 0 },
		"POLLING_READ_TIMEOUT":    func(c *polling.Config) { c.ReadTimeout = 0 },
		"POLLING_WRITE_TIMEOUT":   func(c *polling.Config) { c.WriteTimeout = 0 },
		"POLLING_RETRY":           func(c *polling.Config) { c.Retry = 0 },
		"POLLING_RETRY_SPREAD":    func(c *polling.Config) { c.RetrySpread = -1 },
		"POLLING_RETURN_RATE":     func(c *polling.Config) { c.ReturnRate = 0 },
	} {
		c := testConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), variable+"=") {
			t.Errorf("%s: %v, want the variable named", variable, err)
		}
	}
	// 0 is never; what is less than a millisecond would keep a processor busy.
	for interval, ok := range map[time.Duration]bool{0: true, 1: false, time.Millisecond - 1: false, time.Millisecond: true} {
		c := testConfig()
		c.CheckInterval = interval
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("POLLING_CHECK_INTERVAL=%s: %v", interval, err)
		}
	}
}

// BenchmarkPoll measures what a poll costs here, without the network: a 304, and
// a 200 of a thing of 100 KB.
func BenchmarkPoll(b *testing.B) {
	f := setup(b, testConfig())
	large := strings.Repeat("x", 100<<10)
	f.store.onLoad = func(any) (any, error) { return large, nil }
	for name, tag := range map[string]string{"304": f.tag(b), "200": `"x"`} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/final", http.NoBody)
			r.Header.Set("If-None-Match", tag)
			for b.Loop() {
				if err := f.Serve(httptest.NewRecorder(), r, "final"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

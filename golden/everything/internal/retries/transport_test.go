package retries

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// roundTripperFunc stands for the network where a test is about time.
type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func answer(status int, header http.Header) *http.Response {
	if header == nil {
		header = make(http.Header)
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("body"))}
}

func TestTransport(t *testing.T) {
	t.Parallel()
	type reply struct {
		status int
		header http.Header
		err    error
	}
	refused := errors.New("connection refused")
	ok, created := reply{status: http.StatusOK}, reply{status: http.StatusCreated}
	notFound, notImplemented := reply{status: http.StatusNotFound}, reply{status: http.StatusNotImplemented}
	down := reply{status: http.StatusServiceUnavailable}
	noAnswer, forGood := reply{err: refused}, reply{err: Permanent(refused)}
	after := func(v string) reply {
		return reply{status: http.StatusTooManyRequests, header: http.Header{"Retry-After": {v}}}
	}
	for name, tt := range map[string]struct {
		method  string
		header  http.Header
		body    io.Reader
		replies []reply // the last one stays
		timeout time.Duration

		calls   int
		status  int
		err     error
		atLeast time.Duration
		atMost  time.Duration
		stop    string
	}{
		"good at once":                {replies: []reply{ok}, calls: 1, status: 200},
		"good at the second":          {replies: []reply{down, ok}, calls: 2, status: 200, atMost: 100 * time.Millisecond},
		"never good":                  {replies: []reply{down}, calls: 3, status: 503, atMost: 300 * time.Millisecond, stop: "attempts"},
		"no connection":               {replies: []reply{noAnswer}, calls: 3, err: refused, atMost: 300 * time.Millisecond, stop: "attempts"},
		"permanent error":             {replies: []reply{forGood}, calls: 1, err: refused},
		"not found":                   {replies: []reply{notFound}, calls: 1, status: 404},
		"not implemented":             {replies: []reply{notImplemented}, calls: 1, status: 501},
		"POST":                        {method: "POST", body: strings.NewReader("x"), replies: []reply{down}, calls: 1, status: 503, stop: "unsafe"},
		"PATCH":                       {method: "PATCH", body: strings.NewReader("x"), replies: []reply{down}, calls: 1, status: 503, stop: "unsafe"},
		"POST with a key":             {method: "POST", header: http.Header{"Idempotency-Key": {"1"}}, body: strings.NewReader("x"), replies: []reply{down, created}, calls: 2, status: 201, atMost: 100 * time.Millisecond},
		"PUT":                         {method: "PUT", body: strings.NewReader("x"), replies: []reply{down, {status: 204}}, calls: 2, status: 204, atMost: 100 * time.Millisecond},
		"PUT of a stream":             {method: "PUT", body: io.MultiReader(strings.NewReader("x")), replies: []reply{down}, calls: 1, status: 503, stop: "unsafe"},
		"Retry-After in seconds":      {replies: []reply{after("1"), ok}, calls: 2, status: 200, atLeast: time.Second, atMost: time.Second},
		"Retry-After as a date":       {replies: []reply{after("Sat, 01 Jan 2000 00:00:02 GMT"), ok}, calls: 2, status: 200, atLeast: 2 * time.Second, atMost: 2 * time.Second},
		"Retry-After in the past":     {replies: []reply{after("Sat, 01 Jan 1999 00:00:02 GMT"), ok}, calls: 2, status: 200, atMost: 100 * time.Millisecond},
		"Retry-After too long":        {replies: []reply{after("3600")}, calls: 1, status: 429, stop: "wait"},
		"Retry-After of no meaning":   {replies: []reply{after("soon"), ok}, calls: 2, status: 200, atMost: 100 * time.Millisecond},
		"Retry-After negative":        {replies: []reply{after("-5"), ok}, calls: 2, status: 200, atMost: 100 * time.Millisecond},
		"Retry-After past all bounds": {replies: []reply{after("99999999999999999999"), ok}, calls: 2, status: 200, atMost: 100 * time.Millisecond},
		"Retry-After past the deadline": {
			replies: []reply{after("2")}, timeout: time.Second, calls: 1, status: 429, stop: "wait",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRetries(t, defaults(t))
				calls := 0
				transport := r.Transport(roundTripperFunc(func(req *http.Request) (*http.Response, error) {
					if tt.body != nil {
						if b, err := io.ReadAll(req.Body); err != nil || string(b) != "x" {
							t.Errorf("call %d got the body %q, %v", calls+1, b, err)
						}
					}
					reply := tt.replies[min(calls, len(tt.replies)-1)]
					calls++
					if reply.err != nil {
						return nil, reply.err
					}
					return answer(reply.status, reply.header), nil
				}))
				ctx := t.Context()
				if tt.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.timeout)
					defer cancel()
				}
				req, err := http.NewRequestWithContext(ctx, tt.method, "http://example.com/", tt.body)
				if err != nil {
					t.Fatal(err)
				}
				for k, v := range tt.header {
					req.Header[k] = v
				}
				start := time.Now()
				resp, err := transport.RoundTrip(req)
				took := time.Since(start)
				if calls != tt.calls || !errors.Is(err, tt.err) {
					t.Errorf("%d calls and %v, want %d and %v", calls, err, tt.calls, tt.err)
				}
				if tt.err == nil {
					defer func() { _ = resp.Body.Close() }()
					if resp.StatusCode != tt.status {
						t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
					}
					if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "body" {
						t.Errorf("the answer's body is %q, %v", b, err)
					}
				}
				if took < tt.atLeast || took > tt.atMost {
					t.Errorf("took %s, want %s to %s", took, tt.atLeast, tt.atMost)
				}
				if tt.stop != "" {
					if got := testutil.ToFloat64(r.metrics.httpStops.WithLabelValues(tt.stop)); got != 1 {
						t.Errorf("retries_http_stops_total{reason=%q} is %g, want 1", tt.stop, got)
					}
				}
			})
		})
	}
}

func TestTransportHonoursCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		config := defaults(t)
		config.HTTPBaseDelay, config.HTTPMaxDelay = time.Hour, time.Hour
		r := newRetries(t, config)
		r.random = func() float64 { return 1 }
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		transport := r.Transport(roundTripperFunc(func(*http.Request) (*http.Response, error) {
			calls++
			return answer(http.StatusBadGateway, nil), nil
		}))
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://example.com/", nil)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, cancel)
		start := time.Now()
		if _, err := transport.RoundTrip(req); !errors.Is(err, context.Canceled) || calls != 1 || time.Since(start) != time.Minute { //nolint:bodyclose // there is none
			t.Errorf("%v after %s and %d calls, want to be cancelled after a minute", err, time.Since(start), calls)
		}
	})
}

// Real calls over real connections: a server that fails half of all requests,
// and gets the whole body each time.
func TestTransportOverHTTP(t *testing.T) {
	t.Parallel()
	var calls, wrong atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != "an order" {
			wrong.Add(1)
		}
		if calls.Add(1)%2 == 1 {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer server.Close()
	config := defaults(t)
	config.HTTPBaseDelay, config.BudgetBurst = time.Millisecond, 100
	client := &http.Client{Transport: newRetries(t, config).Transport(server.Client().Transport)}
	defer client.CloseIdleConnections()
	for range 20 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL, strings.NewReader("an order"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("status %d in spite of the retry", resp.StatusCode)
		}
	}
	if calls.Load() != 40 || wrong.Load() != 0 {
		t.Errorf("%d calls, %d with a wrong body; want 40 and 0", calls.Load(), wrong.Load())
	}
}

// What a dependency that is down gets from 2,000 callers: three times as many
// calls without a budget, and a tenth more with one of 10 %.
func TestBudgetStopsAStormOfCalls(t *testing.T) {
	t.Parallel()
	callDown := func(ratio, perSecond float64) int64 {
		var calls atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		defer server.Close()
		config := defaults(t)
		config.BudgetRatio, config.BudgetPerSecond = ratio, perSecond
		config.HTTPBaseDelay = time.Millisecond
		client := &http.Client{Transport: newRetries(t, config).Transport(server.Client().Transport)}
		defer client.CloseIdleConnections()
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				for range 100 {
					resp, err := client.Get(server.URL) //nolint:noctx // ends with the server
					if err != nil {
						t.Error(err)
						return
					}
					_ = resp.Body.Close()
				}
			})
		}
		callers.Wait()
		return calls.Load()
	}
	with, without := callDown(0.1, 0), callDown(1, 1e9)
	t.Logf("2,000 failing calls became %d with a budget of 10%%, %d without", with, without)
	if with > 2000+200+10 {
		t.Errorf("%d calls with a budget of 10%%, want at most 2,210", with)
	}
	if without != 6000 {
		t.Errorf("%d calls without a budget, want 3 for each of 2,000", without)
	}
}

package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/server"
	"example.com/orders/internal/waittest"
)

// A running server, with its log.
type running struct {
	url  string
	log  *lockedBuffer
	stop func() error
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func start(t testing.TB, change func(*server.Config), mux *http.ServeMux) running {
	t.Helper()
	config := server.Config{
		Addr:              "127.0.0.1:0",
		ReadHeaderTimeout: time.Minute,
		ReadTimeout:       time.Minute,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		CloseTimeout:      time.Minute,
		ReadyTimeout:      time.Minute,
		MaxBodyBytes:      64,
	}
	if change != nil {
		change(&config)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	log := new(lockedBuffer)
	s, err := server.New(t.Context(), config, mux, server.Deps{
		Log:     slog.New(slog.NewTextHandler(log, nil)),
		Metrics: prometheus.NewRegistry(),
		Tracing: noop.NewTracerProvider(),
		Ready: func(context.Context) map[string]error {
			return map[string]error{"store": errors.New("password is hunter2"), "cache": context.DeadlineExceeded}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() }) // its error is for the test that stops it
	return running{"http://" + s.Addr(), log, stop}
}

func get(t testing.TB, url string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() }) // only read
	return resp
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"localhost:8080": true, ":0": true, "[::1]:http": true,
		"": false, "nonsense": false, "8080": false, "127.0.0.1:99999": false, "127.0.0.1:-1": false, "localhost:nonsense": false, "::1:80": false,
	} {
		err := server.Config{Addr: addr}.Validate()
		if told := err != nil && strings.HasPrefix(err.Error(), "ADDR="+addr+": "); told == want {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	s := start(t, nil, http.NewServeMux())
	for name, tt := range map[string]struct {
		sent string
		kept bool
	}{
		"the caller's own": {"abc-123", true},
		"none":             {"", false},
		"too long":         {strings.Repeat("x", 65), false},
		"not printable":    {"a b", false},
	} {
		got := get(t, s.url+"/healthz", "X-Request-Id", tt.sent).Header.Get("X-Request-Id")
		if (got == tt.sent) != tt.kept || got == "" {
			t.Errorf("%s: sent %q, got %q", name, tt.sent, got)
		}
	}
}

func TestBodiesAreLimited(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.Handle("POST /echo", httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
		v, err := httpapi.DecodeJSON[string](r)
		if err != nil {
			return err
		}
		httpapi.WriteJSON(w, r, http.StatusOK, v)
		return nil
	}))
	s := start(t, nil, mux)
	for body, want := range map[string]int{`"x"`: 200, `"` + strings.Repeat("x", 100) + `"`: 413} {
		resp, err := http.Post(s.url+"/echo", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if resp.StatusCode != want {
			t.Errorf("%d bytes: %d, want %d", len(body), resp.StatusCode, want)
		}
	}
}

// A browser changes nothing here for a page of another origin.
func TestPagesOfOtherOriginsChangeNothing(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/thing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s := start(t, nil, mux)
	for _, tt := range []struct {
		method, header, value string
		want                  int
	}{
		{"POST", "", "", 204}, // no browser
		{"POST", "Sec-Fetch-Site", "same-origin", 204},
		{"POST", "Sec-Fetch-Site", "none", 204},
		{"POST", "Sec-Fetch-Site", "cross-site", 403},
		{"PUT", "Sec-Fetch-Site", "same-site", 403},
		{"POST", "Origin", s.url, 204},
		{"DELETE", "Origin", "http://elsewhere.example", 403},
		{"POST", "Origin", "null", 403},
		{"GET", "Sec-Fetch-Site", "cross-site", 204},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, s.url+"/thing", nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.header != "" {
			req.Header.Set(tt.header, tt.value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		problem := resp.Header.Get("Content-Type") == "application/problem+json" && resp.Header.Get("X-Request-Id") != ""
		if resp.StatusCode != tt.want || problem != (tt.want == 403) {
			t.Errorf("%s with %s %q: %d, want %d (a problem: %t)", tt.method, tt.header, tt.value, resp.StatusCode, tt.want, problem)
		}
	}
}

// A client that sends its header a byte at a time is cut off.
func TestASlowHeaderIsCutOff(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *server.Config) { c.ReadHeaderTimeout = 50 * time.Millisecond }, http.NewServeMux())
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // was cut off
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(conn).ReadByte(); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection is still open: %v", err)
	}
}

// A panic in the middle of an answer cuts the connection, so that the caller
// does not take half of it for the whole.
func TestAPanicCutsAHalfWrittenAnswer(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /half", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half") // the panic is the point
		_ = http.NewResponseController(w).Flush()
		panic("oh")
	})
	s := start(t, nil, mux)
	if body, err := io.ReadAll(get(t, s.url+"/half").Body); err == nil {
		t.Errorf("the caller got %q as if it were all", body)
	}
	if !strings.Contains(s.log.String(), "panic=oh") {
		t.Errorf("the log does not tell of the panic: %s", s.log)
	}
}

func TestServeWaitsForOpenRequests(t *testing.T) {
	t.Parallel()
	started, release := make(chan bool), make(chan bool)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, _ *http.Request) {
		started <- true
		<-release
		_, _ = fmt.Fprint(w, "done") // seen by the caller
	})
	s := start(t, nil, mux)
	body := make(chan string)
	go func() {
		b, _ := io.ReadAll(get(t, s.url+"/slow").Body) // "" is not "done"
		body <- string(b)
	}()
	<-started
	stopped := make(chan error)
	go func() { stopped <- s.stop() }()
	for { // until it takes no new ones
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			break
		}
		_ = conn.Close() // nothing was written
	}
	select {
	case err := <-stopped:
		t.Fatalf("it stopped with a request open: %v", err)
	case release <- true:
	}
	if got := <-body; got != "done" {
		t.Errorf("the open request got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeCutsOffWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	started := make(chan bool)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stuck", func(_ http.ResponseWriter, r *http.Request) {
		started <- true
		<-r.Context().Done()
	})
	s := start(t, func(c *server.Config) { c.CloseTimeout = 10 * time.Millisecond }, mux)
	go func() {
		if resp, err := http.Get(s.url + "/stuck"); err == nil {
			_ = resp.Body.Close() // was cut off
		}
	}()
	<-started
	if err := s.stop(); err == nil || !strings.Contains(err.Error(), "still open after 10ms") {
		t.Errorf("Serve: %v, want it said", err)
	}
}

func TestMethodsOfCallersDoNotGrowTheMetrics(t *testing.T) {
	t.Parallel()
	s := start(t, nil, http.NewServeMux())
	req, err := http.NewRequestWithContext(t.Context(), "BREW", s.url+"/pot", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	body, err := io.ReadAll(get(t, s.url+"/metrics").Body)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), "BREW") || !strings.Contains(string(body), `method="other",route="none",status="404"`) {
		t.Errorf("metrics: %s", body)
	}
}

// An upgrade is counted as one, also where a proxy writes it to the connection.
func TestUpgradesAreCounted(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /socket", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n") // seen by the caller
		_ = conn.Close()                                                                                                // it has said all
	})
	s := start(t, nil, mux)
	if resp := get(t, s.url+"/socket", "Connection", "Upgrade", "Upgrade", "echo"); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("got %s", resp.Status)
	}
	waittest.Until(t, func() error {
		body, err := io.ReadAll(get(t, s.url+"/metrics").Body)
		if err != nil {
			return err
		}
		return contains(string(body), `route="GET /socket",status="101"} 1`)
	})
	if err := contains(s.log.String(), "path=/socket status=101"); err != nil {
		t.Error(err)
	}
}

// Callers are told what is not ready, and the log why.
func TestReadyzKeepsTheReasonsToTheLog(t *testing.T) {
	t.Parallel()
	s := start(t, nil, http.NewServeMux())
	resp := get(t, s.url+"/readyz")
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "not ready: cache, store") || strings.Contains(string(body), "hunter2") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	waittest.Until(t, func() error { return contains(s.log.String(), "store: password is hunter2") })
}

// A caller that gives up is not counted as one that was served.
func TestACallerThatGoesAwayIsNoSuccess(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	started := make(chan bool)
	mux.Handle("GET /slow", httpapi.Handler(func(_ http.ResponseWriter, r *http.Request) error {
		started <- true
		<-r.Context().Done()
		return r.Context().Err()
	}))
	s := start(t, nil, mux)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/slow", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-started; cancel() }()
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close() // there is none
		t.Fatal("it was answered")
	}
	waittest.Until(t, func() error {
		body, err := io.ReadAll(get(t, s.url+"/metrics").Body)
		if err != nil {
			return err
		}
		return contains(string(body), `route="GET /slow",status="499"} 1`)
	})
}

func contains(s, part string) error {
	if strings.Contains(s, part) {
		return nil
	}
	return fmt.Errorf("no %q in %q", part, s)
}

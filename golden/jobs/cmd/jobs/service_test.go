package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/setting"
	"example.com/orders/internal/waittest"
)

func TestHealthAndMetrics(t *testing.T) {
	s := startService(t, nil)
	for _, tt := range []struct{ path, want string }{
		{"/healthz", `{"status":"ok"}`},
		{"/readyz", `{"status":"ready"}`},
		{"/metrics", "http_request_duration_seconds_bucket"}, // of the requests before it
	} {
		status, body := get(t, s.URL+tt.path)
		mustEqual(t, tt.path, status, http.StatusOK)
		if err := contains(body, tt.want); err != nil {
			t.Errorf("%s: %v", tt.path, err)
		}
	}
}

func TestUnknownRoutesAreProblems(t *testing.T) {
	s := startService(t, nil)
	for _, tt := range []struct {
		method, path string
		status       int
		detail       string
	}{
		{http.MethodGet, "/nothing", http.StatusNotFound, "There is nothing at /nothing."},
		{http.MethodDelete, "/healthz", http.StatusMethodNotAllowed, "/healthz takes GET, HEAD."},
	} {
		status, body := send(t, tt.method, s.URL+tt.path, "")
		mustEqual(t, tt.path, status, tt.status)
		if err := contains(body, tt.detail); err != nil {
			t.Error(err)
		}
		if err := contains(body, `"request_id":"`); err != nil {
			t.Error(err)
		}
	}
}

// A panic, an answer half written and a caller's own request id.
func TestPanicIsAnsweredAndCounted(t *testing.T) {
	s := startRun(t, nil, func(ctx context.Context, getenv func(string) string, stdout, stderr io.Writer) error {
		app := newApp()
		app.mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("oh") })
		app.mux.Handle("GET /late", httpapi.Handler(func(http.ResponseWriter, *http.Request) error {
			return context.DeadlineExceeded
		}))
		return app.run(ctx, getenv, nil, stdout, stderr)
	})
	status, body := get(t, s.URL+"/panic")
	mustEqual(t, "a panic's status", status, http.StatusInternalServerError)
	if strings.Contains(body, "oh") {
		t.Errorf("the panic's value was told to the caller: %s", body)
	}
	status, _ = get(t, s.URL+"/late")
	mustEqual(t, "a timeout's status", status, http.StatusServiceUnavailable)
	_, metrics := get(t, s.URL+"/metrics")
	if err := contains(metrics, `http_request_duration_seconds_count{method="GET",route="GET /panic",status="500"} 1`); err != nil {
		t.Error(err)
	}
}

// Told to stop while a part is still starting, the service closes those that
// stand, and that is no failure.
func TestStopWhileStarting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	app := newApp()
	closed := false
	parts := []part{
		{"first", func(*settings) start {
			return func(context.Context) error {
				app.life.OnStop("first", func(context.Context) error { closed = true; return nil })
				return nil
			}
		}},
		{"second", func(*settings) start {
			return func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() }
		}},
		{"third", func(*settings) start {
			return func(context.Context) error {
				t.Error("a part was started after the service was told to stop")
				return nil
			}
		}},
	}
	env := map[string]string{"ADDR": "127.0.0.1:0", "LOG_LEVEL": "WARN"}
	if err := app.run(ctx, func(key string) string { return env[key] }, parts, t.Output(), t.Output()); err != nil {
		t.Errorf("run: %v", err)
	}
	if !closed {
		t.Error("the first part was not closed")
	}
}

func TestBadConfigurationNamesTheVariable(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }() // nothing was written
	for variable, value := range map[string]string{
		"ADDR":                        busy.Addr().String(),
		"HTTP_READ_TIMEOUT":           "soon",
		"HTTP_MAX_BODY_BYTES":         "-1",
		"LOG_FORMAT":                  "xml",
		"LOG_LEVEL":                   "LOUD",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "nowhere",
		"SHUTDOWN_TIMEOUT":            "0s",
	} {
		env := defaultEnv(t)
		env[variable] = value
		err := run(t.Context(), func(key string) string { return env[key] }, t.Output(), t.Output())
		if err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%s=%s: %v, want the variable named", variable, value, err)
		}
	}
}

// All that is wrong is told at once, a line each, before any part has done
// anything; and what contradicts only because it is wrong is not told.
func TestAllFaultsAreToldBeforeAnythingActs(t *testing.T) {
	env := map[string]string{
		"ADDR":                     "127.0.0.1:99999",
		"LOG_FORMAT":               "xml",
		"HTTP_READ_TIMEOUT":        "soon",
		"HTTP_MAX_BODY_BYTES":      "many",
		"HTTP_READ_HEADER_TIMEOUT": "-1s",
		"HTTP_CLOSE_TIMEOUT":       "1m",
		"SHUTDOWN_TIMEOUT":         "0s",
	}
	acted := false
	example := part{"example", func(s *settings) start {
		s.refuse(errors.Join(setting.AtLeast("EXAMPLE_TIMEOUT", -2, 0), nil, setting.Positive("EXAMPLE_SIZE", 0)))
		return func(context.Context) error { acted = true; return nil }
	}}
	err := newApp().run(t.Context(), func(key string) string { return env[key] }, []part{example}, t.Output(), t.Output())
	want := []string{
		"LOG_FORMAT=xml: must be json or text",
		"SHUTDOWN_TIMEOUT=0s: must be from 1ms to 24h0m0s",
		"EXAMPLE_TIMEOUT=-2: must be at least 0",
		"EXAMPLE_SIZE=0: must be more than 0",
		`HTTP_READ_TIMEOUT: unable to parse duration: time: invalid duration "soon"`,
		"HTTP_MAX_BODY_BYTES=many: must be a number (invalid syntax)",
		"ADDR=127.0.0.1:99999: must be a host and a port such as localhost:8080 (address 99999: invalid port)",
		"HTTP_READ_HEADER_TIMEOUT=-1s: must be from 1ms to 24h0m0s",
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if acted {
		t.Error("a part acted on settings that were refused")
	}
}

// The parts as they are, together, find nothing to refuse in their defaults.
func TestContradictionsNameBothSettings(t *testing.T) {
	refuseTogether(t, map[string]string{"HTTP_CLOSE_TIMEOUT": "26s"},
		"HTTP_CLOSE_TIMEOUT=26s: must not be more than SHUTDOWN_TIMEOUT=25s")
	refuseTogether(t, map[string]string{"HTTP_CLOSE_TIMEOUT": "25s"}, "")
	refuseTogether(t, map[string]string{"HTTP_READ_TIMEOUT": "13s"},
		"HTTP_READ_TIMEOUT=13s: must not be more than HTTP_CLOSE_TIMEOUT=12s")
}

// refuseTogether fails the test unless the parts refuse these settings, over the
// defaults, with that line; or take them, where want is "".
func refuseTogether(t *testing.T, change map[string]string, want string) {
	t.Helper()
	env := defaultEnv(t)
	maps.Copy(env, change)
	s := &settings{getenv: func(key string) string { return env[key] }}
	app := newApp()
	app.setupHost(s, t.Output())
	for _, p := range app.parts() {
		p.setup(s)
	}
	app.setupHTTP(s, t.Output())
	got := fmt.Sprint(s.err())
	if want == "" && s.err() != nil || !strings.HasPrefix(got, want) && want != "" || strings.Contains(got, "\n") {
		t.Errorf("%v: got %q, want %q", change, got, want)
	}
}

// Told to stop, the service takes itself out of the load balancers first, goes
// on serving, and ends without an error.
func TestSIGTERMStopsTheProcessInOrder(t *testing.T) {
	p := startProcess(t, map[string]string{"SHUTDOWN_DELAY": "1s"})
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, func() error {
		if status, body := get(t, p.URL+"/readyz"); status != http.StatusServiceUnavailable {
			return fmt.Errorf("still ready: %d %s", status, body)
		}
		return nil
	})
	status, _ := get(t, p.URL+"/healthz")
	mustEqual(t, "health while it drains", status, http.StatusOK)
	http.DefaultClient.CloseIdleConnections()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the process ended with: %v", err)
	}
}

// BenchmarkRequest measures a request on its way through everything that stands
// before every route: what the figures of the patterns can be compared with.
func BenchmarkRequest(b *testing.B) {
	s := startService(b, nil)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		status, _ := get(b, s.URL+"/healthz")
		took = append(took, time.Since(start))
		mustEqual(b, "status", status, http.StatusOK)
	}
	reportTimes(b, took)
}

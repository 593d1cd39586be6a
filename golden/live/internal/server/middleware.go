package server

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"example.com/orders/internal/httpapi"
)

// readyz tells callers the names of what is not ready, and the log the reasons.
func readyz(ready func(context.Context) map[string]error, timeout time.Duration) http.Handler {
	return httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		if failed := ready(ctx); len(failed) > 0 {
			names := slices.Sorted(maps.Keys(failed))
			errs := []error{httpapi.NewProblem(http.StatusServiceUnavailable, "not ready: "+strings.Join(names, ", "))}
			for _, name := range names {
				errs = append(errs, fmt.Errorf("%s: %w", name, failed[name]))
			}
			return errors.Join(errs...)
		}
		httpapi.WriteJSON(w, r, http.StatusOK, map[string]string{"status": "ready"})
		return nil
	})
}

// problems answers what the mux refuses by itself, an unknown path or method,
// with problem details as everything else.
func problems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		refusal := &refusal{header: make(http.Header)}
		handler.ServeHTTP(refusal, r)
		switch refusal.status {
		case http.StatusNotFound:
			httpapi.WriteError(w, r, httpapi.NewProblem(http.StatusNotFound, "There is nothing at "+r.URL.Path+"."))
		case http.StatusMethodNotAllowed:
			allow := refusal.header.Get("Allow")
			w.Header().Set("Allow", allow)
			httpapi.WriteError(w, r, httpapi.NewProblem(http.StatusMethodNotAllowed, r.URL.Path+" takes "+allow+"."))
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// sameOrigin refuses what a web page of another origin asks a browser to change
// here (CSRF), by Sec-Fetch-Site, or by Origin and Host. What comes from no
// browser has neither header, and passes, as do GET, HEAD and OPTIONS.
func sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(httpapi.Handler(func(http.ResponseWriter, *http.Request) error {
		return httpapi.NewProblem(http.StatusForbidden, "A web page of another origin may not do this.")
	}))
	return protection.Handler(next)
}

// A refusal is the mux's own answer, kept to be answered in the API's words.
type refusal struct {
	header http.Header
	status int
}

func (r *refusal) Header() http.Header         { return r.header }
func (r *refusal) Write(p []byte) (int, error) { return len(p), nil }
func (r *refusal) WriteHeader(status int)      { r.status = status }

type metrics struct {
	requests *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) metrics {
	m := metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_request_duration_seconds",
			Help:    "Time from a request's header to the end of its answer.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route", "status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_requests_in_flight",
			Help: "Requests that are being answered, streams included.",
		}),
	}
	return metrics{registered(registry, m.requests), registered(registry, m.inFlight)}
}

// registered returns the collector, or the one that stands in its place already.
func registered[C prometheus.Collector](registry prometheus.Registerer, c C) C {
	var already prometheus.AlreadyRegisteredError
	if err := registry.Register(c); errors.As(err, &already) {
		return already.ExistingCollector.(C)
	} else if err != nil {
		panic(err) // two different metrics of one name
	}
	return c
}

// observe gives each request an id and a limit to its body, answers a panic with
// 500, and notes the request in the log and the metrics. It stands right around
// the routes, so that the request it sees is the one on which the mux notes the
// route.
func observe(next http.Handler, maxBody int64, deps Deps, m metrics) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		m.inFlight.Inc()
		defer m.inFlight.Dec()

		call := &httpapi.Call{ID: requestID(r), Outage: deps.Outage}
		r = r.WithContext(httpapi.WithCall(r.Context(), call))
		w.Header().Set("X-Request-Id", call.ID)
		recorder := &recorder{ResponseWriter: w}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)

		defer func() {
			panicked, answered := recover(), recorder.status != 0
			if panicked != nil && panicked != http.ErrAbortHandler { //nolint:errorlint // recover gives the very value
				deps.Log.ErrorContext(r.Context(), "panic", "request_id", call.ID, "panic", panicked, "stack", string(debug.Stack()))
				if !answered {
					httpapi.WriteError(recorder, r, errors.New("panic"))
				}
			}
			status := recorder.statusOr(http.StatusOK)
			if r.Context().Err() != nil {
				status = recorder.statusOr(statusClientGone)
			}
			took := time.Since(start)
			route := r.Pattern
			if route == "" {
				route = "none"
			}
			trace.SpanFromContext(r.Context()).SetName(route)
			m.requests.WithLabelValues(method(r.Method), route, strconv.Itoa(status)).Observe(took.Seconds())
			logRequest(r, deps.Log, call, status, took)
			if panicked != nil && answered {
				panic(http.ErrAbortHandler) // the answer is half written: cut the connection
			}
		}()
		next.ServeHTTP(recorder, r)
	})
}

// statusClientGone is what a request counts as whose caller went away before
// the answer: no status of HTTP, but one that nginx made common.
const statusClientGone = 499

func logRequest(r *http.Request, log *slog.Logger, call *httpapi.Call, status int, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case status >= http.StatusInternalServerError:
		level = slog.LevelError
	case r.Pattern == "GET /healthz" || r.Pattern == "GET /readyz" || r.Pattern == "GET /metrics":
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String("request_id", call.ID),
		slog.String("method", r.Method),
		slog.String("path", r.URL.Path),
		slog.Int("status", status),
		slog.Duration("took", took),
	}
	if call.Err != nil {
		attrs = append(attrs, slog.Any("error", call.Err))
	}
	log.LogAttrs(r.Context(), level, "request", attrs...)
}

// requestID takes over the caller's id where it is harmless, so that one id
// leads through all services.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(id) > 64 {
		return rand.Text()
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			return rand.Text()
		}
	}
	return id
}

// method bounds the label's values: a caller can make up methods.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// A recorder notes the status. [http.ResponseController] reaches the writer
// below it through Unwrap.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Hijack notes an upgrade: whoever takes the connection over writes the answer to it.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil && r.status == 0 {
		r.status = http.StatusSwitchingProtocols
	}
	return conn, buffers, err
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// statusOr returns the status that was written, or none.
func (r *recorder) statusOr(none int) int {
	if r.status == 0 {
		return none
	}
	return r.status
}

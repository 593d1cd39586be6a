package telemetry_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/orders/internal/telemetry"
)

func TestSpansReachTheCollectorAndTheLog(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies <- r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	config := telemetry.Config{LogFormat: "json", TracesEndpoint: collector.URL, TracesRatio: 1}
	tracing, err := telemetry.NewTracing(t.Context(), "orders", config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := tracing.Tracer("test").Start(t.Context(), "pay")
	var log bytes.Buffer
	telemetry.NewLogger(&log, config).With("order", 7).WithGroup("g").InfoContext(ctx, "paid")
	span.End()
	if err := tracing.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-bodies; !strings.HasPrefix(got, "/v1/traces ") || !strings.Contains(got, "orders") || !strings.Contains(got, "pay") {
		t.Errorf("the collector got %q", got)
	}
	if id := span.SpanContext().TraceID().String(); !strings.Contains(log.String(), id) {
		t.Errorf("the log line %s lacks the trace's id %s", log.String(), id)
	}
}

func TestLogLevelAndFormat(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := telemetry.NewLogger(&log, telemetry.Config{LogFormat: "text", LogLevel: telemetry.Level{Level: slog.LevelWarn}})
	logger.Info("quiet")
	logger.Warn("loud")
	if got := log.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "msg=loud") {
		t.Errorf("log: %q", got)
	}
}

// A duration in JSON says what its unit is.
func TestDurationsHaveAUnit(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	telemetry.NewLogger(&log, telemetry.Config{LogFormat: "json"}).Info("done", "took", 1500*time.Microsecond)
	if got := log.String(); !strings.Contains(got, `"took_seconds":0.0015`) {
		t.Errorf("log: %q", got)
	}
}

func TestRegistryShowsTheRuntime(t *testing.T) {
	t.Parallel()
	families, err := telemetry.NewRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, f := range families {
		names[f.GetName()] = true
	}
	if !names["go_goroutines"] || !names["process_cpu_seconds_total"] {
		t.Errorf("go_goroutines or process_cpu_seconds_total is not among %v", names)
	}
}

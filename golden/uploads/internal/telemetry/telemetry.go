// Package telemetry makes the service's logger, metrics registry and tracer
// provider. They are handed to what uses them; none is global.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"example.com/orders/internal/setting"
)

// A Level is that of the log, by its name.
type Level struct{ slog.Level }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (l *Level) UnmarshalText(text []byte) error {
	if l.Level.UnmarshalText(text) != nil {
		return errors.New("must be DEBUG, INFO, WARN or ERROR")
	}
	return nil
}

// Config says what is told of the service, and to whom.
type Config struct {
	// LogLevel is the lowest level that is logged: DEBUG, INFO, WARN or ERROR.
	LogLevel Level `env:"LOG_LEVEL" envDefault:"INFO"`
	// LogFormat is "json" or "text".
	LogFormat string `env:"LOG_FORMAT" envDefault:"text"`
	// TracesEndpoint is the base URL of an OpenTelemetry collector that takes
	// OTLP over HTTP. Without it no trace is made.
	TracesEndpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
	// TracesRatio is the share of new traces that are kept, from 0 to 1. A
	// caller's decision is followed.
	TracesRatio float64 `env:"OTEL_TRACES_SAMPLER_ARG" envDefault:"1"`
}

// Validate reports a value that has no meaning.
func (c Config) Validate() error {
	return errors.Join(
		setting.Check(c.LogFormat == "json" || c.LogFormat == "text", "LOG_FORMAT=%s: must be json or text", c.LogFormat),
		setting.Between("OTEL_TRACES_SAMPLER_ARG", c.TracesRatio, 0, 1),
		// Its text may hold a password.
		setting.Check(c.TracesEndpoint == "" || isURL(c.TracesEndpoint), "OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL such as http://localhost:4318"),
	)
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// NewLogger returns a logger that writes to w, and puts the trace's id on each
// record that belongs to a sampled one.
func NewLogger(w io.Writer, config Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: config.LogLevel.Level}
	if config.LogFormat == "json" {
		options.ReplaceAttr = withUnit
		return slog.New(traceHandler{slog.NewJSONHandler(w, options)})
	}
	return slog.New(traceHandler{slog.NewTextHandler(w, options)})
}

// withUnit makes a duration, which would be a bare number in JSON, one of seconds,
// and says so in its name: took=1.5ms becomes "took_seconds":0.0015.
func withUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.Float64(a.Key+"_seconds", a.Value.Duration().Seconds())
	}
	return a
}

type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsSampled() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

func (h traceHandler) WithGroup(group string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(group)}
}

// NewRegistry returns a metrics registry with the Go runtime's and the
// process's own metrics.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}

// NewTracing returns a tracer provider that sends the spans of the service
// called name to the configured collector, or none where there is no collector.
// The caller shuts it down, which sends what is still waiting.
func NewTracing(ctx context.Context, name string, config Config) (*sdktrace.TracerProvider, error) {
	if config.TracesEndpoint == "" {
		return sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())), nil
	}
	endpoint, err := url.JoinPath(config.TracesEndpoint, "v1/traces")
	if err != nil {
		return nil, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL such as http://localhost:4318")
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint))
	if err != nil {
		return nil, fmt.Errorf("trace exporter: %w", err)
	}
	return sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(config.TracesRatio))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", name))),
	), nil
}

package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

type metrics struct {
	enqueued *prometheus.CounterVec
	finished *prometheus.CounterVec
	duration *prometheus.HistogramVec
	wait     *prometheus.HistogramVec
	running  *prometheus.GaugeVec
	depth    *depth
}

func newMetrics(d *depth) *metrics {
	buckets := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800}
	return &metrics{
		enqueued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workers_jobs_enqueued_total",
			Help: "Jobs that were enqueued, also in transactions that rolled back later.",
		}, []string{"kind"}),
		finished: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workers_jobs_finished_total",
			Help: "Attempts that ended, by outcome: completed, retry, discarded, cancelled, snoozed, interrupted.",
		}, []string{"kind", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "workers_job_duration_seconds",
			Help:    "Time that one attempt of a job took.",
			Buckets: buckets,
		}, []string{"kind"}),
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "workers_queue_wait_seconds",
			Help:    "Time from when a job was due until a worker took it.",
			Buckets: buckets,
		}, []string{"kind"}),
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "workers_jobs_running",
			Help: "Jobs that run in this process.",
		}, []string{"kind"}),
		depth: d,
	}
}

func (m *metrics) register(registry prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.enqueued, m.finished, m.duration, m.wait, m.running, m.depth} {
		if err := registry.Register(c); err != nil {
			return fmt.Errorf("register the workers' metrics: %w", err)
		}
	}
	return nil
}

var outcomes = []string{"completed", "retry", "discarded", "cancelled", "snoozed", "interrupted"}

// expect has the series of kinds begin at 0: a rate does not see the first of
// what is not there before it.
func (m *metrics) expect(kinds []string) {
	for _, kind := range kinds {
		m.enqueued.WithLabelValues(kind)
		m.running.WithLabelValues(kind)
		m.duration.WithLabelValues(kind)
		m.wait.WithLabelValues(kind)
		for _, outcome := range outcomes {
			m.finished.WithLabelValues(kind, outcome)
		}
	}
}

// An observer stands around the insertion and the work of every job: it counts,
// carries the trace of who enqueued a job to who works it, and lets a job that
// the pool interrupted run again.
type observer struct {
	river.MiddlewareDefaults
	metrics *metrics
	tracer  trace.Tracer
	working atomic.Int64 // jobs that run
}

func newObserver(m *metrics, tracing trace.TracerProvider) *observer {
	return &observer{metrics: m, tracer: tracing.Tracer("workers")}
}

// traceKey is the field of a job's metadata with the W3C traceparent of who
// enqueued it.
const traceKey = "traceparent"

// InsertMany implements [rivertype.JobInsertMiddleware].
func (o *observer) InsertMany(ctx context.Context, jobs []*rivertype.JobInsertParams, inner func(context.Context) ([]*rivertype.JobInsertResult, error)) ([]*rivertype.JobInsertResult, error) {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	if parent := carrier.Get(traceKey); parent != "" {
		for _, job := range jobs {
			if err := addTrace(job, parent); err != nil {
				return nil, err
			}
		}
	}
	results, err := inner(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range results {
		if r.UniqueSkippedAsDuplicate {
			continue
		}
		o.metrics.enqueued.WithLabelValues(r.Job.Kind).Inc()
		o.metrics.depth.enqueued(r.Job.Kind)
	}
	return results, nil
}

func addTrace(job *rivertype.JobInsertParams, parent string) error {
	fields := make(map[string]json.RawMessage)
	if len(job.Metadata) > 0 {
		if err := json.Unmarshal(job.Metadata, &fields); err != nil {
			return fmt.Errorf("metadata of a %s job: %w", job.Kind, err)
		}
	}
	quoted, err := json.Marshal(parent)
	if err != nil {
		return err
	}
	fields[traceKey] = quoted
	job.Metadata, err = json.Marshal(fields)
	return err
}

func spanContext(ctx context.Context, job *rivertype.JobRow) trace.SpanContext {
	var metadata struct {
		Parent string `json:"traceparent"`
	}
	if err := json.Unmarshal(job.Metadata, &metadata); err != nil {
		return trace.SpanContext{}
	}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceKey: metadata.Parent}))
}

// Work implements [rivertype.WorkerMiddleware].
func (o *observer) Work(ctx context.Context, job *rivertype.JobRow, inner func(context.Context) error) (err error) {
	start := time.Now()
	o.metrics.wait.WithLabelValues(job.Kind).Observe(max(0, start.Sub(job.ScheduledAt).Seconds()))
	running := o.metrics.running.WithLabelValues(job.Kind)
	running.Inc()
	o.working.Add(1)
	// The job may run long after the request: a trace of its own, linked to it.
	workCtx, span := o.tracer.Start(ctx, "job "+job.Kind,
		trace.WithNewRoot(),
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithLinks(trace.Link{SpanContext: spanContext(ctx, job)}),
		trace.WithAttributes(attribute.Int64("job.id", job.ID), attribute.Int("job.attempt", job.Attempt)))
	outcome := ""
	defer func() {
		if outcome == "" { // it panicked, and what stands around it has judged that by now
			outcome = failure(job)
		}
		running.Dec()
		o.working.Add(-1)
		o.metrics.duration.WithLabelValues(job.Kind).Observe(time.Since(start).Seconds())
		o.metrics.finished.WithLabelValues(job.Kind, outcome).Inc()
		span.SetAttributes(attribute.String("job.outcome", outcome))
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}()
	err = inner(workCtx)
	if err != nil && interrupted(ctx) {
		outcome = "interrupted"
		return river.JobSnooze(0)
	}
	outcome = outcomeOf(ctx, job, err)
	return err
}

// interrupted reports whether the pool cancelled the job to stop. A job's own
// timeout is below this context.
func interrupted(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely)
}

func outcomeOf(ctx context.Context, job *rivertype.JobRow, err error) string {
	var (
		cancelled *rivertype.JobCancelError
		snoozed   *rivertype.JobSnoozeError
	)
	switch {
	case err == nil:
		return "completed"
	case errors.As(err, &cancelled), errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely):
		return "cancelled"
	case errors.As(err, &snoozed):
		return "snoozed"
	}
	return failure(job)
}

func failure(job *rivertype.JobRow) string {
	if job.Attempt >= job.MaxAttempts {
		return "discarded"
	}
	return "retry"
}

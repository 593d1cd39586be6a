package workers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/waittest"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/workers"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/workers/workerstest"
)

type actArgs struct {
	Act string `json:"act"`
}

func (actArgs) Kind() string { return "act" }

type actor struct {
	river.WorkerDefaults[actArgs]
	started chan struct{}
}

func (a *actor) Work(ctx context.Context, job *river.Job[actArgs]) error {
	switch job.Args.Act {
	case "fail":
		return errors.New("no paper")
	case "crash":
		panic("oh")
	case "give up":
		return river.JobCancel(errors.New("no printer"))
	case "snooze":
		return river.JobSnooze(time.Hour)
	case "obey":
		select {
		case a.started <- struct{}{}:
		case <-ctx.Done(): // fetched once more while the pool stops
		}
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (a *actor) NextRetry(*river.Job[actArgs]) time.Time { return time.Now().Add(time.Hour) }

func TestOutcomesAreCountedAndTraced(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	spans := tracetest.NewSpanRecorder()
	tracing := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	config := workerstest.Config()
	config.DrainTimeout = 500 * time.Millisecond // for a fetch that is under way, or it takes the job again
	p, err := workers.New(workerstest.Database(t), config, slog.New(slog.DiscardHandler), registry, tracing)
	if err != nil {
		t.Fatal(err)
	}
	a := &actor{started: make(chan struct{})}
	workers.Add(p, a)
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, request := tracing.Tracer("test").Start(t.Context(), "request")
	enqueue := func(act string, attempts int) int64 {
		t.Helper()
		result, err := p.Enqueue(ctx, actArgs{act}, &river.InsertOpts{MaxAttempts: attempts, Metadata: []byte(`{"own":1}`)})
		if err != nil {
			t.Fatal(err)
		}
		return result.Job.ID
	}
	for act, attempts := range map[string]int{"do": 1, "fail": 2, "crash": 1, "give up": 3, "snooze": 1} {
		enqueue(act, attempts)
	}
	cancelled := enqueue("obey", 1)
	<-a.started
	if _, err := p.Client().JobCancel(t.Context(), cancelled); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"completed": 1, "retry": 1, "discarded": 1, "cancelled": 2, "interrupted": 0, "snoozed": 1}
	waittest.Until(t, func() error {
		if diff := cmp.Diff(want, outcomes(t, registry)); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	enqueue("obey", 1)
	<-a.started
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	want["interrupted"] = 1
	if diff := cmp.Diff(want, outcomes(t, registry)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	ended := spans.Ended()
	if len(ended) != 7 {
		t.Errorf("%d jobs were traced, want 7", len(ended))
	}
	for _, span := range ended {
		if span.Name() != "job act" || len(span.Links()) != 1 || !span.Links()[0].SpanContext.Equal(request.SpanContext().WithRemote(true)) {
			t.Errorf("span %s with links %v, want one to %v", span.Name(), span.Links(), request.SpanContext())
		}
	}
}

// A panic in an attempt that other middleware makes the job's last is counted as what
// it is.
func TestPanicInTheLastAttemptIsCountedSo(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	p, err := workers.New(workerstest.Database(t), workerstest.Config(), slog.New(slog.DiscardHandler), registry, noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	workers.Add(p, new(actor))
	p.Use(river.WorkerMiddlewareFunc(func(ctx context.Context, job *rivertype.JobRow, attempt func(context.Context) error) error {
		defer func() { job.MaxAttempts = job.Attempt }()
		return attempt(ctx)
	}))
	workerstest.Start(t, p)
	if _, err := p.Enqueue(t.Context(), actArgs{"crash"}, nil); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, func() error {
		if got := outcomes(t, registry); got["discarded"] != 1 || got["retry"] != 0 {
			return fmt.Errorf("outcomes %v, want 1 discarded", got)
		}
		return nil
	})
}

// outcomes returns how often jobs ended, by outcome.
func outcomes(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, family := range families {
		if family.GetName() != "workers_jobs_finished_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "outcome" {
					got[label.GetValue()] += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return got
}

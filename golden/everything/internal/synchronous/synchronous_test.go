package synchronous_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/synchronous"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newGate(config synchronous.Config) (*synchronous.Gate, *prometheus.Registry) {
	registry := prometheus.NewRegistry()
	return synchronous.New(config, registry, noop.NewTracerProvider()), registry
}

var config = synchronous.Config{MaxConcurrent: 2, Timeout: time.Minute, RetryAfter: 2 * time.Second}

func TestWhoComesWhenItIsFullIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate, _ := newGate(config)
		release := make(chan struct{})
		var working sync.WaitGroup
		for range config.MaxConcurrent {
			working.Go(func() {
				if err := gate.Do(t.Context(), "w", func(context.Context) error { <-release; return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		err := gate.Do(t.Context(), "w", func(context.Context) error { t.Error("it was begun"); return nil })
		if !errors.Is(err, synchronous.ErrFull) || time.Since(start) != 0 {
			t.Errorf("%v after %s, want ErrFull at once", err, time.Since(start))
		}
		var p *httpapi.Problem
		if !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable || p.RetryAfter < config.RetryAfter || p.RetryAfter >= 2*config.RetryAfter {
			t.Errorf("%+v, want 503 and to come back in 2 to 4 s", p)
		}
		close(release)
		working.Wait()
		if err := gate.Do(t.Context(), "w", func(context.Context) error { return nil }); err != nil {
			t.Errorf("when there is a place again: %v", err)
		}
	})
}

func TestHowWorkEnds(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	waits := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for result, tt := range map[string]struct {
		work  func(context.Context) error
		leave time.Duration // when the caller goes away, if it does
		took  time.Duration
		want  error
	}{
		"ok":       {work: func(context.Context) error { return nil }},
		"error":    {work: func(context.Context) error { return broken }, want: broken},
		"timeout":  {work: waits, took: time.Minute, want: synchronous.ErrTimeout},
		"canceled": {work: waits, leave: time.Second, took: time.Second, want: context.Canceled},
	} {
		t.Run(result, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				gate, registry := newGate(config)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.leave > 0 {
					time.AfterFunc(tt.leave, cancel)
				}
				start := time.Now()
				if err := gate.Do(ctx, "w", tt.work); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
					t.Errorf("%v, want %v", err, tt.want)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("it took %s, want %s", took, tt.took)
				}
				want := `
					# HELP synchronous_work_total Work that callers waited for, by how it ended: ok, error, full, timeout, canceled (the caller went away) or panic.
					# TYPE synchronous_work_total counter
					synchronous_work_total{result="` + result + `",work="w"} 1
					# HELP synchronous_in_flight Callers whose work runs now.
					# TYPE synchronous_in_flight gauge
					synchronous_in_flight 0
				`
				if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "synchronous_work_total", "synchronous_in_flight"); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestAPanicLeavesThePlace(t *testing.T) {
	t.Parallel()
	gate, _ := newGate(synchronous.Config{MaxConcurrent: 1, Timeout: time.Minute, RetryAfter: time.Second})
	for range 3 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = gate.Do(t.Context(), "w", func(context.Context) error { panic("no paper") })
		}()
	}
	if err := gate.Do(t.Context(), "w", func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
}

// Ten times as many callers as there are places: no more than the limit are ever
// at work, and each is served or refused.
func TestTheLimitHolds(t *testing.T) {
	t.Parallel()
	gate, _ := newGate(synchronous.Config{MaxConcurrent: 10, Timeout: time.Minute, RetryAfter: time.Second})
	var now, most, served, refused atomic.Int64
	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() {
			for range 100 {
				err := gate.Do(t.Context(), "w", func(context.Context) error {
					n := now.Add(1)
					defer now.Add(-1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					return nil
				})
				switch {
				case err == nil:
					served.Add(1)
				case errors.Is(err, synchronous.ErrFull):
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	if most.Load() > 10 || served.Load()+refused.Load() != 10_000 || served.Load() == 0 {
		t.Errorf("%d at once, %d served, %d refused", most.Load(), served.Load(), refused.Load())
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		time.Sleep(2 * time.Second) // of the bubble's clock
		part, release := synchronous.Share(ctx, 0.5)
		defer release()
		if at, ok := part.Deadline(); !ok || time.Until(at) != time.Second {
			t.Errorf("half of 2 s is %s", time.Until(at))
		}
		endless, release := synchronous.Share(context.Background(), 0.5)
		defer release()
		if _, ok := endless.Deadline(); ok {
			t.Error("half of no end is an end")
		}
	})
}

func TestValidateNamesEveryVariable(t *testing.T) {
	t.Parallel()
	err := synchronous.Config{RetryAfter: time.Millisecond}.Validate()
	for _, variable := range []string{"SYNCHRONOUS_MAX_CONCURRENT=0: ", "SYNCHRONOUS_TIMEOUT=0s: ", "SYNCHRONOUS_RETRY_AFTER=1ms: "} {
		if err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%v does not name %s", err, variable)
		}
	}
}

// BenchmarkGate is what the gate adds to work, with every processor at it.
func BenchmarkGate(b *testing.B) {
	gate, _ := newGate(synchronous.Config{MaxConcurrent: 1024, Timeout: time.Minute, RetryAfter: time.Second})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := gate.Do(b.Context(), "w", func(context.Context) error { return nil }); err != nil {
				b.Error(err)
			}
		}
	})
}

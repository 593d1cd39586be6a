package lifecycle_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/orders/internal/lifecycle"
)

func newGroup(config lifecycle.Config) *lifecycle.Group {
	return lifecycle.New(config, slog.New(slog.DiscardHandler))
}

func TestRunStopsInReverseOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(lifecycle.Config{ShutdownDelay: 5 * time.Second, ShutdownTimeout: time.Minute})
		order := make(chan string, 4)
		runner := func(name string) func(context.Context) error {
			return func(ctx context.Context) error {
				<-ctx.Done()
				order <- name
				return ctx.Err()
			}
		}
		g.OnStop("store", func(context.Context) error { order <- "store"; return nil })
		g.Go("consumer", runner("consumer"))
		g.Go("http", runner("http"))
		g.OnDrain(func() { order <- "drain" })

		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- g.Run(ctx) }()
		synctest.Wait()
		if failed := g.Check(ctx); len(failed) > 0 {
			t.Errorf("Check while running: %v", failed)
		}
		cancel()
		synctest.Wait()
		if failed := g.Check(t.Context()); !errors.Is(failed["service"], lifecycle.ErrDraining) {
			t.Errorf("Check while draining: %v, want ErrDraining", failed)
		}
		if len(order) > 0 {
			t.Errorf("%s stopped before the shutdown delay was over", <-order)
		}
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		close(order)
		var got []string
		for name := range order {
			got = append(got, name)
		}
		if diff := cmp.Diff([]string{"drain", "http", "consumer", "store"}, got); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestRunEndsWithItsRunners(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		result error
		want   string
	}{
		"a failure":    {broken, "consumer: broken"},
		"a quiet exit": {nil, "consumer: ended before it was told to stop"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGroup(lifecycle.Config{ShutdownTimeout: time.Minute})
			g.Go("http", func(ctx context.Context) error { <-ctx.Done(); return nil })
			g.Go("consumer", func(context.Context) error { return tt.result })
			if err := g.Run(t.Context()); err == nil || err.Error() != tt.want {
				t.Errorf("Run: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestStartersComeBeforeRunners(t *testing.T) {
	t.Parallel()
	g := newGroup(lifecycle.Config{ShutdownTimeout: time.Minute})
	var order []string
	done := errors.New("done")
	g.Go("http", func(context.Context) error { order = append(order, "http"); return done })
	g.OnStart("consumer", func(context.Context) error { order = append(order, "consumer"); return nil })
	g.OnStart("cron", func(context.Context) error { order = append(order, "cron"); return nil })
	if err := g.Run(t.Context()); !errors.Is(err, done) {
		t.Errorf("Run: %v", err)
	}
	if diff := cmp.Diff([]string{"consumer", "cron", "http"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestAStarterThatFailsStopsTheGroup(t *testing.T) {
	t.Parallel()
	g := newGroup(lifecycle.Config{ShutdownTimeout: time.Minute, ShutdownDelay: time.Hour})
	closed := false
	g.OnStop("store", func(context.Context) error { closed = true; return nil })
	g.OnStart("consumer", func(context.Context) error { return errors.New("no route") })
	g.OnStart("cron", func(context.Context) error { t.Error("the starter after it was called"); return nil })
	g.Go("http", func(context.Context) error { t.Error("a runner was started"); return nil })
	if err := g.Run(t.Context()); err == nil || err.Error() != "consumer: no route" {
		t.Errorf("Run: %v, want the starter named", err)
	}
	if !closed {
		t.Error("what was registered before was not closed")
	}
}

func TestARunnerThatDoesNotStopIsLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(lifecycle.Config{ShutdownTimeout: time.Second})
		closed := false
		release := make(chan struct{})
		g.OnStop("store", func(context.Context) error { closed = true; return nil })
		g.Go("stuck", func(context.Context) error { <-release; return nil })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := g.Run(ctx)
		if err == nil || !strings.Contains(err.Error(), "stuck: did not stop in time") {
			t.Errorf("Run: %v, want the stuck runner named", err)
		}
		if !closed {
			t.Error("the store below the stuck runner was not closed")
		}
		close(release)
	})
}

func TestCheckNamesWhatIsNotReady(t *testing.T) {
	t.Parallel()
	g := newGroup(lifecycle.Config{ShutdownTimeout: time.Second})
	noRoute := errors.New("no route")
	// Each waits for the other: one that hangs takes no time from the rest.
	meet := make(chan bool)
	g.OnReady("database", func(context.Context) error { meet <- true; return noRoute })
	g.OnReady("cache", func(context.Context) error { <-meet; return nil })
	if failed := g.Check(t.Context()); len(failed) != 1 || !errors.Is(failed["database"], noRoute) {
		t.Errorf("Check: %v", failed)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		config lifecycle.Config
		want   string
	}{
		{lifecycle.Config{ShutdownDelay: -1, ShutdownTimeout: 1}, "SHUTDOWN_DELAY"},
		{lifecycle.Config{}, "SHUTDOWN_TIMEOUT"},
	} {
		if err := tt.config.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %s named", tt.config, err, tt.want)
		}
	}
}

// A starter that is cut off because the group is told to stop is no failure.
func TestStoppedWhileStarting(t *testing.T) {
	t.Parallel()
	g := lifecycle.New(lifecycle.Config{ShutdownTimeout: time.Second}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	closed := false
	g.OnStop("first", func(context.Context) error { closed = true; return nil })
	g.OnStart("first", func(ctx context.Context) error { cancel(); return ctx.Err() })
	g.Go("runner", func(context.Context) error { t.Error("the runner was started"); return nil })
	if err := g.Run(ctx); err != nil || !closed {
		t.Errorf("run: %v, closed: %t", err, closed)
	}
}

// Told to stop by the time its last starter has returned, the group goes down in
// order, as one that others have heard of.
func TestStoppedWhenStarted(t *testing.T) {
	t.Parallel()
	g := lifecycle.New(lifecycle.Config{ShutdownTimeout: time.Second}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ran := false
	g.OnStart("last", func(context.Context) error { cancel(); return nil })
	g.Go("runner", func(ctx context.Context) error { ran = true; <-ctx.Done(); return nil })
	if err := g.Run(ctx); err != nil || !ran {
		t.Errorf("run: %v, the runner ran: %t", err, ran)
	}
}

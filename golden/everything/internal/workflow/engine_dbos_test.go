package workflow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"example.com/orders/internal/waittest"
)

// useEngine runs the engine in this process until the test ends.
func (b *bench) useEngine(t testing.TB) {
	t.Helper()
	b.engine = startDBOS(t, b, dbosTestConfig(t, b.tries))
}

// startDBOS starts an engine as the service does, and stops it when the test
// ends.
func startDBOS(t testing.TB, b *bench, config EngineConfig) *dbosEngine {
	t.Helper()
	e, err := newDBOS(t.Context(), b.config, config, b.steps, b.deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.launch(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.close(ctx); err != nil {
			t.Error(err)
		}
	})
	return e
}

// fulfil gives the order to the engine.
func (b *bench) fulfil(t testing.TB, order Order, cancel bool) {
	t.Helper()
	if _, err := b.Start(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	if cancel {
		if err := b.Cancel(t.Context(), order.ID); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPosition(t *testing.T) {
	b := newBench(t)
	b.config.CancelWindow = time.Hour
	b.useEngine(t)
	b.fulfil(t, Order{"where", "desk", 1, 1, "DE"}, false)
	waittest.Until(t, func() error {
		at, err := b.Position(t.Context(), "where")
		if err == nil && at != dbosWindow {
			err = fmt.Errorf("it is at %q", at)
		}
		return err
	})
	if err := b.Cancel(t.Context(), "where"); err != nil {
		t.Fatal(err)
	}
	if err := b.Cancel(t.Context(), "where"); err != nil && !errors.Is(err, ErrEnded) {
		t.Errorf("cancelled twice: %v", err)
	}
	if got := b.ended(t, "where"); got.Outcome != Cancelled {
		t.Errorf("it ended %s", got.Outcome)
	}
	if err := b.Cancel(t.Context(), "where"); !errors.Is(err, ErrEnded) {
		t.Errorf("cancelled after the end: %v", err)
	}
}

// The engine's database hangs: callers are told, and as many calls as there are
// places wait for it, however many callers come. Once it is back all is as before.
func TestCallsThatAreLeftBehind(t *testing.T) {
	b := newBench(t)
	b.config.EngineTimeout = time.Hour // nobody waits that long
	b.Fulfilments.config = b.config
	e := startDBOS(t, b, dbosTestConfig(t, b.tries))
	b.engine = e
	back := make(chan struct{})
	var calls atomic.Int64
	ctx, giveUp := context.WithCancel(t.Context())
	errs := make(chan error)
	const callers = 3 * mostCalls
	for range callers {
		go func() {
			errs <- e.calls.within(ctx, func() error {
				calls.Add(1)
				<-back
				return nil
			})
		}()
	}
	waittest.Until(t, func() error {
		n := calls.Load()
		if n > mostCalls {
			t.Fatalf("%d calls", n)
		}
		if n < mostCalls {
			return fmt.Errorf("%d calls", n)
		}
		return nil
	})
	giveUp()
	for range callers {
		// Who comes when all places are left behind is told so.
		if err := <-errs; !errors.Is(err, context.Canceled) && !errors.Is(err, errCallsHang) {
			t.Errorf("a caller who gave up got %v", err)
		}
	}
	order := Order{"later", "desk", 1, 5000, "DE"}
	waittest.Until(t, func() error { // it is noted who left beside who leaves
		if n := e.calls.left.Load(); n != mostCalls {
			return fmt.Errorf("%d are left behind", n)
		}
		return nil
	})
	if _, err := b.Start(t.Context(), order); !errors.Is(err, ErrEngine) || !errors.Is(err, errCallsHang) {
		t.Errorf("got %v", err)
	}
	if n := calls.Load(); n != mostCalls {
		t.Errorf("%d calls were begun, want %d", n, mostCalls)
	}
	close(back)
	waittest.Until(t, func() error {
		_, err := b.Start(t.Context(), order)
		return err
	})
	if got := b.ended(t, order.ID); got.Outcome != Completed {
		t.Errorf("it ended %s", got.Outcome)
	}
	waittest.Until(t, func() error {
		if left, taken := e.calls.left.Load(), len(e.calls.places); left != 0 || taken != 0 {
			return fmt.Errorf("%d are left behind, and %d places taken", left, taken)
		}
		return nil
	})
}

// The same order is taken once, and its id not for another.
func TestStartIsIdempotent(t *testing.T) {
	b := newBench(t)
	b.useEngine(t)
	order := Order{"twice", "desk", 1, 5000, "DE"}
	errs := make(chan error)
	const callers = 6
	for range callers {
		go func() {
			_, err := b.Start(t.Context(), order)
			errs <- err
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	other := order
	other.Quantity = 2
	if _, err := b.Start(t.Context(), other); !errors.Is(err, ErrOther) {
		t.Errorf("another order with the id: %v", err)
	}
	if got := b.ended(t, "twice"); got.Outcome != Completed || b.paid(t, "twice") != 5000 || b.attempts(t, Charge, "ok") != 1 {
		t.Errorf("it ended %s, with %d cents paid in %d charges", got.Outcome, b.paid(t, "twice"), b.attempts(t, Charge, "ok"))
	}
}

// An engine that stops leaves its workflows where they are, and the next one goes
// on with them.
func TestStopAndGoOn(t *testing.T) {
	b := newBench(t)
	b.config.CancelWindow = 2 * time.Second
	config := dbosTestConfig(t, b.tries)
	order := Order{"on", "desk", 1, 5000, "DE"}
	t.Run("first", func(t *testing.T) {
		b.engine = startDBOS(t, b, config)
		b.fulfil(t, order, false)
		waittest.Until(t, func() error {
			// It is paid, and the engine has noted that it is.
			at, err := b.Position(t.Context(), order.ID)
			if err == nil && at != dbosWindow {
				err = fmt.Errorf("it is at %q", at)
			}
			return err
		})
	})
	if got, err := b.Get(t.Context(), order.ID); err != nil || got.Outcome != Running {
		t.Fatalf("after the stop: %+v, %v", got, err)
	}
	b.engine = startDBOS(t, b, config)
	got := b.ended(t, order.ID)
	if got.Outcome != Completed || steps(got) != "reserve charge ship finish" || b.attempts(t, Charge, "ok") != 1 {
		t.Errorf("it ended %s: %s", got.Outcome, steps(got))
	}
}

// An order whose step has to wait while the engine stops did not fail.
func TestAStopIsNoError(t *testing.T) {
	b := newBench(t)
	var logged bytes.Buffer
	b.deps.Log = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelError}))
	t.Run("stopped", func(t *testing.T) {
		e := startDBOS(t, b, dbosTestConfig(t, b.tries))
		b.engine = e
		e.gate.close()
		b.fulfil(t, Order{"waits", "desk", 1, 5000, "DE"}, false)
		waittest.Until(t, func() error {
			at, err := b.Position(t.Context(), "waits")
			if err == nil && at != string(Reserve) {
				err = fmt.Errorf("it is at %q", at)
			}
			return err
		})
	})
	if logged.Len() > 0 {
		t.Errorf("logged as errors:\n%s", logged.String())
	}
}

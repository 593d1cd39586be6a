//go:build temporal

package workflow

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/enginetest"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/waittest"
)

// useServer gives the orders to a Temporal server, by a task queue of the test's
// own, and runs a worker beside it until stop is called or the test ends.
func (b *bench) useServer(t testing.TB) (stop func()) {
	t.Helper()
	config := EngineConfig{
		Address:   enginetest.Env(t, "TEST_TEMPORAL_ADDRESS", "a Temporal server"),
		Namespace: enginetest.Env(t, "TEST_TEMPORAL_NAMESPACE", "a namespace of the Temporal server"),
		TaskQueue: "test-" + rand.Text(), MaxSteps: 10, Attempts: Attempts{Step: b.tries, Undo: b.tries},
	}
	return b.work(t, config)
}

// work runs a worker, as an instance of the service does.
func (b *bench) work(t testing.TB, config EngineConfig) (stop func()) {
	t.Helper()
	e, err := newEngine(t.Context(), b.config, config, b.steps, b.deps)
	if err != nil {
		t.Fatal(err)
	}
	b.engine = e
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-done, e.close(context.Background())); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// newID returns the id of an order that the server, which remembers them all, does
// not know.
func newID() string { return rand.Text() }

func (b *bench) startOn(t testing.TB, order Order) {
	t.Helper()
	if _, err := b.Start(t.Context(), order); err != nil {
		t.Fatal(err)
	}
}

// untilAt waits until the engine says that the order's workflow is somewhere.
func (b *bench) untilAt(t testing.TB, id, want string) {
	t.Helper()
	waittest.Until(t, func() error {
		at, err := b.Position(t.Context(), id)
		if err == nil && at != want {
			err = fmt.Errorf("it is at %q", at)
		}
		return err
	})
}

// What the server wrote of an order's workflow is replayed by the code of today.
func (b *bench) replays(t testing.TB, id string) {
	t.Helper()
	h := new(history.History)
	events := b.engine.(*temporalEngine).client.GetWorkflowHistory(t.Context(), executionID(id), "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		h.Events = append(h.Events, e)
	}
	if err := replay(t, temporalFulfil, h); err != nil {
		t.Errorf("%d events: %v", len(h.GetEvents()), err)
	}
}

func TestTemporalServerFulfils(t *testing.T) {
	b := newBench(t)
	b.config.CancelWindow = time.Second
	b.useServer(t)
	order := Order{newID(), "desk", 1, 5000, "DE"}
	b.startOn(t, order)
	b.startOn(t, order) // it is the same
	got := b.ended(t, order.ID)
	if got.Outcome != Completed || steps(got) != "reserve charge ship finish" || b.paid(t, order.ID) != 5000 {
		t.Errorf("it ended %s: %s", got.Outcome, steps(got))
	}
	b.startOn(t, order) // it has been done
	if n := b.attempts(t, Charge, "ok"); n != 1 {
		t.Errorf("%d charges", n)
	}
	if err := b.engine.start(t.Context(), order); err != nil {
		t.Errorf("the engine starts what has ended: %v", err)
	}
	b.replays(t, order.ID)
}

func TestTemporalServerCancels(t *testing.T) {
	b := newBench(t)
	b.config.CancelWindow = time.Hour
	b.useServer(t)
	order := Order{newID(), "desk", 1, 5000, "DE"}
	b.startOn(t, order)
	b.untilAt(t, order.ID, temporalWindow)
	if err := b.Cancel(t.Context(), order.ID); err != nil {
		t.Fatal(err)
	}
	got := b.ended(t, order.ID)
	if got.Outcome != Cancelled || steps(got) != "reserve charge refund release finish" || b.paid(t, order.ID) != 0 {
		t.Errorf("it ended %s: %s", got.Outcome, steps(got))
	}
	waittest.Until(t, func() error { // the last step is noted before the workflow's end is
		if err := b.engine.cancel(t.Context(), order.ID); !errors.Is(err, ErrEnded) {
			return fmt.Errorf("to cancel what has ended: %w", err)
		}
		return nil
	})
	b.replays(t, order.ID)
}

// A worker goes in the middle of a workflow, and another one, with no memory of it,
// goes on.
func TestTemporalServerChangesWorkers(t *testing.T) {
	b := newBench(t)
	b.config.CancelWindow = 2 * time.Second
	stop := b.useServer(t)
	first := b.engine.(*temporalEngine)
	order := Order{newID(), "desk", 1, 5000, "DE"}
	b.startOn(t, order)
	b.untilAt(t, order.ID, temporalWindow)
	stop()
	b.work(t, first.engine)
	got := b.ended(t, order.ID)
	if got.Outcome != Completed || steps(got) != "reserve charge ship finish" || b.attempts(t, Charge, "ok") != 1 {
		t.Errorf("it ended %s: %s", got.Outcome, steps(got))
	}
	b.replays(t, order.ID)
}

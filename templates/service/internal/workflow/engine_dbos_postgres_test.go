//go:build !temporal && !stepfunctions && postgres

package workflow

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/waittest"
)

func dbosTestConfig(_ testing.TB, tries int) EngineConfig {
	return EngineConfig{MaxConns: 4, Lease: time.Second, Attempts: Attempts{Step: tries, Undo: tries}}
}

// An instance that was paused, and was taken for dead, goes on with workflows that
// another has taken over: what both do takes effect once.
func TestTakenForDead(t *testing.T) {
	b := newBench(t)
	b.config.CancelWindow = 4 * time.Second
	config := dbosTestConfig(t, b.tries)
	paused, err := newDBOS(t.Context(), b.config, config, b.steps, b.deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := paused.close(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := paused.launch(t.Context()); err != nil { // and not run: it is not heard of again
		t.Fatal(err)
	}
	b.engine = paused
	const orders = 5
	for i := range orders {
		b.fulfil(t, Order{fmt.Sprint("both-", i), "desk", 1, 5000, "DE"}, false)
	}
	b.engine = startDBOS(t, b, config)
	waittest.Until(t, func() error {
		if n := b.number(t, `SELECT count(*) FROM workflow_executors WHERE id = $1`, paused.database.executor); n > 0 {
			return errors.New("it is not taken for dead")
		}
		return nil
	})
	for i := range orders {
		id := fmt.Sprint("both-", i)
		got := b.ended(t, id)
		if got.Outcome != Completed || steps(got) != "reserve charge ship finish" || b.paid(t, id) != 5000 || b.shipped(t, id) != 1 {
			t.Errorf("%s ended %s: %s, %d cents, %d parcels", id, got.Outcome, steps(got), b.paid(t, id), b.shipped(t, id))
		}
	}
	if left := b.stock(t, "desk"); left != 100-orders {
		t.Errorf("%d are left", left)
	}
	t.Logf("%d charges and %d shipments for %d orders", b.attempts(t, Charge, "ok"), b.attempts(t, Ship, "ok"), orders)
}

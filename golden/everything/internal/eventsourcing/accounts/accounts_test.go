package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"example.com/orders/internal/database"
	"example.com/orders/internal/database/databasetest"
	"example.com/orders/internal/eventsourcing"
	"example.com/orders/internal/eventsourcing/accounts"
	"example.com/orders/internal/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A bank is one instance, with its projections.
type bank struct {
	*accounts.Bank
	db  *database.Pool
	log *eventsourcing.Log
}

func newBank(t *testing.T, db *database.Pool) bank {
	t.Helper()
	types := eventsourcing.NewTypes()
	accounts.Register(types)
	log, err := eventsourcing.New(t.Context(), db, types, eventsourcing.Config{PollInterval: 10 * time.Millisecond, BatchEvents: 20, SnapshotEvery: 10, MaxAttempts: 100},
		slog.New(slog.DiscardHandler), prometheus.NewRegistry(), noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	b := bank{accounts.New(log, db), db, log}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, p := range b.Projections() {
		run := log.Follow(p)
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("projection %s: %v", p.Name, err)
			}
		})
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	return b
}

func (b bank) open(t *testing.T, id string, cents int64) {
	t.Helper()
	if _, err := b.Open(t.Context(), id, "Owner of "+id); err != nil {
		t.Fatal(err)
	}
	if cents > 0 {
		if _, err := b.Deposit(t.Context(), id, cents); err != nil {
			t.Fatal(err)
		}
	}
}

// ended waits until the transfer is over.
func (b bank) ended(t *testing.T, id string) accounts.Transfer {
	t.Helper()
	var transfer accounts.Transfer
	waittest.Until(t, func() error {
		var err error
		transfer, err = b.Transfer(t.Context(), id)
		if err == nil && transfer.State == "requested" {
			err = fmt.Errorf("transfer %s goes on", id)
		}
		return err
	})
	return transfer
}

func (b bank) holds(t *testing.T, id string, cents int64) {
	t.Helper()
	if a, err := b.Account(t.Context(), id); err != nil || a.Cents != cents {
		t.Errorf("account %s: %+v, %v; want %d cents", id, a, err, cents)
	}
}

func TestTransfersGoStepByStep(t *testing.T) {
	t.Parallel()
	b := newBank(t, databasetest.Open(t))
	b.open(t, "ada", 1000)
	b.open(t, "bob", 0)
	for id, tt := range map[string]struct {
		request accounts.Requested
		state   string
		reason  string
	}{
		"t1": {accounts.Requested{From: "ada", To: "bob", Cents: 300}, "completed", ""},
		"t2": {accounts.Requested{From: "ada", To: "bob", Cents: 5000}, "rejected", "account ada holds less"},
		"t3": {accounts.Requested{From: "nobody", To: "bob", Cents: 1}, "rejected", "there is no account nobody"},
		"t4": {accounts.Requested{From: "ada", To: "nobody", Cents: 100}, "rejected", "there is no account nobody"},
	} {
		if _, err := b.Request(t.Context(), id, tt.request); err != nil {
			t.Fatal(err)
		}
		if got := b.ended(t, id); got.State != tt.state || got.Reason != tt.reason {
			t.Errorf("%s: %+v, want %s: %s", id, got, tt.state, tt.reason)
		}
	}
	b.holds(t, "ada", 700) // and what went to nobody came back
	b.holds(t, "bob", 300)

	again, err := b.Request(t.Context(), "t1", accounts.Requested{From: "ada", To: "bob", Cents: 300})
	if err != nil || again.State != "completed" {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	if _, err := b.Request(t.Context(), "t1", accounts.Requested{From: "ada", To: "bob", Cents: 301}); !errors.Is(err, accounts.ErrExists) {
		t.Errorf("another one of that id: %v", err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	b := newBank(t, databasetest.Open(t))
	b.open(t, "ada", 0)
	if _, err := b.Open(t.Context(), "ada", "somebody else"); !errors.Is(err, accounts.ErrExists) {
		t.Errorf("opened twice: %v", err)
	}
	if _, err := b.Deposit(t.Context(), "bob", 1); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("a deposit to nobody: %v", err)
	}
	if _, err := b.Account(t.Context(), "bob"); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("nobody's account: %v", err)
	}
	if _, err := b.Transfer(t.Context(), "t"); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("no transfer: %v", err)
	}
}

// Two instances move money about, while the list is rebuilt beneath them: nothing
// is lost or made, and the rebuilt list says what the one before would.
func TestARebuiltViewEqualsTheLiveOne(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t)
	instances := []bank{newBank(t, db), newBank(t, db)}
	const people, start, rounds = 5, 1000, 30
	name := func(i int) string { return fmt.Sprint("p", i) }
	for i := range people {
		instances[0].open(t, name(i), start)
	}
	var moving sync.WaitGroup
	for i, b := range instances {
		random := rand.New(rand.NewPCG(uint64(i), 7))
		moving.Go(func() {
			for n := range rounds {
				from := random.IntN(people)
				request := accounts.Requested{From: name(from), To: name((from + 1 + random.IntN(people-1)) % people), Cents: 1 + random.Int64N(500)}
				if _, err := b.Request(t.Context(), fmt.Sprintf("t-%d-%d", i, n), request); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		if err := instances[1].log.Rebuild(t.Context(), "balances"); err != nil {
			t.Error(err)
		}
	}
	moving.Wait()
	for i, b := range instances {
		for n := range rounds {
			b.ended(t, fmt.Sprintf("t-%d-%d", i, n))
		}
	}
	var want []accounts.Balance
	var sum int64
	for i := range people {
		a, err := instances[0].Account(t.Context(), name(i))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, accounts.Balance{Account: name(i), Owner: "Owner of " + name(i), Cents: a.Cents})
		sum += a.Cents
	}
	if sum != people*start {
		t.Errorf("there are %d cents, want %d", sum, people*start)
	}
	listed := func() {
		t.Helper()
		waittest.Until(t, func() error {
			got, err := instances[0].Balances(t.Context(), "", 100)
			if diff := cmp.Diff(want, got); err == nil && diff != "" {
				err = fmt.Errorf("(-accounts +list):\n%s", diff)
			}
			return err
		})
	}
	listed()
	before := generations(t, db)
	if err := instances[0].log.Rebuild(t.Context(), "balances"); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, func() error {
		if now := generations(t, db); len(now) != 1 || now[0] <= before[len(before)-1] {
			return fmt.Errorf("generations %v, before %v", now, before)
		}
		return nil
	})
	listed()
	if err := instances[0].log.Rebuild(t.Context(), "transfers"); !errors.Is(err, eventsourcing.ErrNoProjection) {
		t.Errorf("steps that were taken can't be taken anew: %v", err)
	}
}

// A deposit of the first days, which had no currency, is read as one of today.
func TestAnOldDepositIsReadAsOneOfToday(t *testing.T) {
	t.Parallel()
	b := newBank(t, databasetest.Open(t))
	b.open(t, "ada", 500)
	execute(t, b.db, `UPDATE eventsourcing_events SET schema_version = 1, data = '{"cents": 500}' WHERE type = 'account_deposited'`)
	events, err := b.History(t.Context(), "ada", 1, 10)
	if err != nil || len(events) != 1 {
		t.Fatalf("%v, %v", events, err)
	}
	if diff := cmp.Diff(accounts.Deposited{Cents: 500, Currency: "EUR"}, events[0].Value); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

package workflow

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"example.com/orders/internal/database"
	"example.com/orders/internal/database/databasetest"
	"example.com/orders/internal/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A bench is what a test of the workflows stands on, with a database of its own.
// How orders come to it is in the file of the engine.
type bench struct {
	*Fulfilments
	db     *database.Pool
	deps   Deps
	config Config
	// tries is how often a step is tried, where the engine lets that be set.
	tries int
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{
		db:     databasetest.Open(t),
		tries:  3,
		config: Config{CancelWindow: time.Second, StepTimeout: 5 * time.Second, EngineTimeout: 5 * time.Second},
	}
	b.deps = Deps{
		Database: b.db,
		Log:      slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		Metrics:  prometheus.NewRegistry(),
		Tracing:  noop.NewTracerProvider(),
	}
	var err error
	if b.Fulfilments, err = newFulfilments(b.config, b.deps); err != nil {
		t.Fatal(err)
	}
	return b
}

// number reads a number from the database.
func (b *bench) number(t testing.TB, statement string, args ...any) (n int64) {
	t.Helper()
	if err := queryRow(t.Context(), b.db, statement, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return n
}

func (b *bench) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	err := database.InTx(t.Context(), b.db, func(tx database.Tx) error {
		_, err := exec(t.Context(), tx, statement, args...)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func (b *bench) stock(t testing.TB, sku string) int64 {
	t.Helper()
	return b.number(t, `SELECT available FROM workflow_stock WHERE sku = $1`, sku)
}

func (b *bench) paid(t testing.TB, id string) int64 {
	t.Helper()
	return b.number(t, `SELECT CAST(coalesce(sum(cents), 0) AS BIGINT) FROM workflow_payments WHERE order_id = $1`, id)
}

func (b *bench) shipped(t testing.TB, id string) int64 {
	t.Helper()
	return b.number(t, `SELECT count(*) FROM workflow_shipments WHERE order_id = $1`, id)
}

// ended waits until the order's workflow has ended.
func (b *bench) ended(t testing.TB, id string) Fulfilment {
	t.Helper()
	var f Fulfilment
	waittest.Until(t, func() (err error) {
		if f, err = b.Get(t.Context(), id); err == nil && f.Outcome == Running {
			err = fmt.Errorf("it is still running: %v", f.History)
		}
		return err
	})
	return f
}

func steps(f Fulfilment) string {
	var names []string
	for _, e := range f.History {
		names = append(names, string(e.Step))
	}
	return strings.Join(names, " ")
}

// The outcomes are those of every engine.
func TestOutcomes(t *testing.T) {
	b := newBench(t)
	b.useEngine(t)
	for _, tt := range []struct {
		order   Order
		cancel  bool
		outcome Outcome
		reason  string
		steps   string
		left    int64 // of the stock
	}{
		{Order{"ships", "desk", 2, 5000, "DE"}, false, Completed, "", "reserve charge ship finish", 98},
		{Order{"no-stock", "lamp", 2, 5000, "DE"}, false, Compensated, "reserve: there are not 2 of lamp in stock", "finish", 1},
		{Order{"declined", "desk", 2, creditLimit + 1, "DE"}, false, Compensated, "charge: the card was declined", "reserve release finish", 98},
		{Order{"nowhere", "chair", 1, 5000, "XX"}, false, Compensated, "ship: nobody delivers to XX", "reserve charge refund release finish", 1000},
		{Order{"cancelled", "chair", 1, 5000, "DE"}, true, Cancelled, "cancelled by the caller", "reserve charge refund release finish", 1000},
	} {
		t.Run(tt.order.ID, func(t *testing.T) {
			b.fulfil(t, tt.order, tt.cancel)
			got := b.ended(t, tt.order.ID)
			if got.Outcome != tt.outcome || got.Reason != tt.reason || steps(got) != tt.steps {
				t.Errorf("got %s %q: %s\nwant %s %q: %s", got.Outcome, got.Reason, steps(got), tt.outcome, tt.reason, tt.steps)
			}
			if got.Engine != EngineName || got.Order != tt.order {
				t.Errorf("got %+v of %s", got.Order, got.Engine)
			}
			if left := b.stock(t, tt.order.SKU); left != tt.left {
				t.Errorf("%d are left, want %d", left, tt.left)
			}
			paid, shipped := int64(0), int64(0)
			if tt.outcome == Completed {
				paid, shipped = tt.order.Cents, 1
			}
			if p, s := b.paid(t, tt.order.ID), b.shipped(t, tt.order.ID); p != paid || s != shipped {
				t.Errorf("%d cents paid and %d parcels, want %d and %d", p, s, paid, shipped)
			}
		})
	}
}

// A step that fails for now is tried again until it succeeds.
func TestTransientFailureIsTriedAgain(t *testing.T) {
	b := newBench(t)
	b.tries = 1000
	b.useEngine(t)
	b.exec(t, `ALTER TABLE workflow_payments RENAME TO away`)
	order := Order{"patient", "desk", 1, 5000, "DE"}
	var back sync.WaitGroup
	back.Go(func() {
		// The step has failed at least once when it is seen here.
		waittest.Until(t, func() error {
			if n := b.attempts(t, Charge, "error"); n == 0 {
				return fmt.Errorf("no attempt has failed")
			}
			return nil
		})
		b.exec(t, `ALTER TABLE away RENAME TO workflow_payments`)
	})
	b.fulfil(t, order, false)
	back.Wait()
	got := b.ended(t, order.ID)
	if got.Outcome != Completed || steps(got) != "reserve charge ship finish" || b.paid(t, order.ID) != 5000 {
		t.Errorf("got %s %q: %s", got.Outcome, got.Reason, steps(got))
	}
}

// A step that goes on failing is given up, and what was done is undone.
func TestAttemptsAreUsedUp(t *testing.T) {
	b := newBench(t)
	b.useEngine(t)
	b.exec(t, `ALTER TABLE workflow_payments RENAME TO away`)
	order := Order{"hopeless", "desk", 1, 5000, "DE"}
	b.fulfil(t, order, false)
	got := b.ended(t, order.ID)
	if got.Outcome != Compensated || steps(got) != "reserve release finish" || !strings.Contains(got.Reason, "attempts") || b.stock(t, "desk") != 100 {
		t.Errorf("got %s %q: %s", got.Outcome, got.Reason, steps(got))
	}
	// The attempt that was given up comes late after all.
	b.exec(t, `ALTER TABLE away RENAME TO workflow_payments`)
	if err := b.steps.Do(t.Context(), Charge, order); !IsPermanent(err) || b.paid(t, order.ID) != 0 {
		t.Errorf("a late attempt: %v, and %d cents were paid", err, b.paid(t, order.ID))
	}
}

// What can't be undone is told, and not hidden behind what could.
func TestUndoFails(t *testing.T) {
	b := newBench(t)
	b.useEngine(t)
	b.exec(t, `ALTER TABLE workflow_shipments RENAME TO away`)
	order := Order{"unknown", "desk", 1, 5000, "DE"}
	b.fulfil(t, order, false)
	got := b.ended(t, order.ID)
	// Nobody knows whether the parcel is on its way: nothing is undone.
	if got.Outcome != Failed || steps(got) != "reserve charge finish" || b.paid(t, order.ID) != 5000 {
		t.Errorf("got %s %q: %s", got.Outcome, got.Reason, steps(got))
	}
}

// attempts returns how many attempts of a step had this result.
func (b *bench) attempts(t testing.TB, step Step, result string) uint64 {
	t.Helper()
	families, err := b.deps.Metrics.(*prometheus.Registry).Gather() //nolint:forcetypeassert // newBench makes it
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "workflow_step_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["step"] == string(step) && labels["result"] == result {
				return m.GetHistogram().GetSampleCount()
			}
		}
	}
	return 0
}

// Whatever calls come, and however often: each effect is there once.
func TestStepsAreIdempotent(t *testing.T) {
	b := newBench(t)
	order := Order{"again", "desk", 3, 700, "DE"}
	for _, step := range []Step{Reserve, Charge, Ship} {
		var calls sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			calls.Go(func() { errs[i] = b.steps.Do(t.Context(), step, order) })
		}
		calls.Wait()
		for _, err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
	}
	if left, paid, shipped := b.stock(t, "desk"), b.paid(t, order.ID), b.shipped(t, order.ID); left != 97 || paid != 700 || shipped != 1 {
		t.Errorf("%d left, %d paid, %d shipped", left, paid, shipped)
	}
	for _, step := range []Step{Refund, Release, Refund, Release} {
		if err := b.steps.Do(t.Context(), step, order); err != nil {
			t.Error(err)
		}
	}
	if left, paid := b.stock(t, "desk"), b.paid(t, order.ID); left != 100 || paid != 0 {
		t.Errorf("%d left, %d paid after it was undone twice", left, paid)
	}
	for _, step := range []Step{Reserve, Charge} {
		if err := b.steps.Do(t.Context(), step, order); !IsPermanent(err) {
			t.Errorf("%s after it was undone: %v, want a permanent error", step, err)
		}
	}
	for _, outcome := range []Outcome{Compensated, Completed} {
		if err := b.steps.End(t.Context(), order, outcome, "because"); err != nil {
			t.Error(err)
		}
	}
	got := b.ended(t, order.ID)
	if got.Outcome != Compensated || steps(got) != "reserve charge ship refund release finish" {
		t.Errorf("got %s: %s, want the first end to stay", got.Outcome, steps(got))
	}
}

func TestUndoneBeforeDone(t *testing.T) {
	b := newBench(t)
	order := Order{"early", "desk", 3, 700, "DE"}
	for _, step := range []Step{Refund, Release} {
		if err := b.steps.Do(t.Context(), step, order); err != nil {
			t.Error(err)
		}
	}
	for _, step := range []Step{Reserve, Charge} {
		if err := b.steps.Do(t.Context(), step, order); !IsPermanent(err) {
			t.Errorf("%s: %v, want a permanent error", step, err)
		}
	}
	if left, paid := b.stock(t, "desk"), b.paid(t, order.ID); left != 100 || paid != 0 {
		t.Errorf("%d left, %d paid", left, paid)
	}
	if err := b.steps.Do(t.Context(), "dance", order); !IsPermanent(err) {
		t.Errorf("an unknown step: %v, want a permanent error", err)
	}
}

// The engine can have another order than the row, where two came with one id at
// once: what is done is what the row says, which its caller was told.
func TestTheRowSaysWhatIsDone(t *testing.T) {
	b := newBench(t)
	told := Order{"one-id", "desk", 2, 700, "FR"}
	if err := b.steps.begin(t.Context(), told); err != nil {
		t.Fatal(err)
	}
	other := Order{"one-id", "chair", 5, 900, "DE"}
	check := func(desks, cents int64) {
		t.Helper()
		if d, c, p := b.stock(t, "desk"), b.stock(t, "chair"), b.paid(t, "one-id"); d != desks || c != 1000 || p != cents {
			t.Errorf("%d desks and %d chairs are left and %d cents paid, want %d, 1000 and %d", d, c, p, desks, cents)
		}
	}
	do := func(steps ...Step) {
		t.Helper()
		for _, step := range steps {
			if err := b.steps.Do(t.Context(), step, other); err != nil {
				t.Error(err)
			}
		}
	}
	do(Reserve, Charge, Ship)
	check(98, 700)
	if n := b.number(t, `SELECT count(*) FROM workflow_shipments WHERE order_id = 'one-id' AND country = 'FR'`); n != 1 {
		t.Errorf("%d parcels went where they should", n)
	}
	do(Refund, Release)
	check(100, 0)
	if err := b.steps.End(t.Context(), other, Compensated, ""); err != nil {
		t.Error(err)
	}
	if got := b.ended(t, "one-id"); got.Order != told {
		t.Errorf("got %+v", got.Order)
	}
}

// Orders that race for the last piece: one gets it.
func TestStockIsNotSoldTwice(t *testing.T) {
	b := newBench(t)
	var calls sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		calls.Go(func() {
			errs[i] = b.steps.Do(t.Context(), Reserve, Order{fmt.Sprint("racer-", i), "lamp", 1, 100, "DE"})
		})
	}
	calls.Wait()
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	got := 0
	for _, err := range errs {
		if err == nil {
			got++
		} else if !IsPermanent(err) {
			t.Error(err)
		}
	}
	if got != 1 || b.stock(t, "lamp") != 0 {
		t.Errorf("%d got the one lamp: %v", got, errs)
	}
}

func TestStepHonoursItsTimeout(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.steps.Do(ctx, Reserve, Order{"gone", "desk", 1, 1, "DE"}); err == nil || IsPermanent(err) {
		t.Errorf("a step without time: %v, want an error that is tried again", err)
	}
	if left := b.stock(t, "desk"); left != 100 {
		t.Errorf("%d left", left)
	}
}

func TestOrderValidate(t *testing.T) {
	good := Order{"a-1", "desk", 1, 1, "DE"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for field, change := range map[string]func(*Order){
		"order_id": func(o *Order) { o.ID = strings.Repeat("a", 65) },
		"sku":      func(o *Order) { o.SKU = "Desk" },
		"quantity": func(o *Order) { o.Quantity = 0 },
		"cents":    func(o *Order) { o.Cents = 1_000_000_001 },
		"country":  func(o *Order) { o.Country = "Germany" },
	} {
		o := good
		change(&o)
		if err := o.Validate(); err == nil || !strings.HasPrefix(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

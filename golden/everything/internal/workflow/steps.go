package workflow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"example.com/orders/internal/database"
)

// A Step is the name of a step, the same in every engine.
type Step string

// The steps, in the order in which they are done; then those that undo, in the
// order in which those are done; and the note of how it ended.
const (
	Reserve Step = "reserve"
	Charge  Step = "charge"
	Ship    Step = "ship"

	Refund  Step = "refund"
	Release Step = "release"

	Finish Step = "finish"
)

// A PermanentError is a step's answer that no repetition changes. The engine
// does not try the step again, and undoes those before it.
type PermanentError struct{ Reason string }

// Error implements error.
func (e *PermanentError) Error() string { return e.Reason }

// IsPermanent reports whether a step that failed with err is not to be tried
// again.
func IsPermanent(err error) bool {
	var p *PermanentError
	return errors.As(err, &p)
}

func permanent(format string, args ...any) error {
	return &PermanentError{fmt.Sprintf(format, args...)}
}

// Steps are the effects of a fulfilment. Engines call a step at least once; each
// takes effect once, since the effect and the note that it was done are one
// transaction, under the key of order and step.
//
// A step that is undone before it was done leaves a note all the same, and is
// refused from then on: an attempt that was thought lost and comes late changes
// nothing.
type Steps struct {
	store   store
	metrics metrics
	tracer  trace.Tracer
	timeout time.Duration
	now     func() time.Time
}

// What is noted of a step.
const (
	done   = "done"
	undone = "undone"
)

// Do runs a step of an order. This is all that an engine calls.
func (s *Steps) Do(ctx context.Context, step Step, order Order) error {
	effects := map[Step]func(context.Context, database.Tx, Order) error{
		Reserve: s.reserve, Charge: s.charge, Ship: s.ship, Refund: s.refund, Release: s.release,
	}
	effect, ok := effects[step]
	if !ok {
		return permanent("there is no step %q", step)
	}
	return s.observe(ctx, step, order, func(ctx context.Context) error {
		return s.transact(ctx, order, func(tx database.Tx, order Order) error { return effect(ctx, tx, order) })
	})
}

// End notes how the order's workflow ended. The first note stays.
func (s *Steps) End(ctx context.Context, order Order, outcome Outcome, reason string) error {
	changed := false
	err := s.observe(ctx, Finish, order, func(ctx context.Context) error {
		return s.transact(ctx, order, func(tx database.Tx, order Order) error {
			n, err := exec(ctx, tx, `UPDATE workflow_fulfilments SET outcome = $1, reason = $2, updated_at = $3 WHERE id = $4 AND outcome = 'running'`,
				string(outcome), reason, s.now().UnixMilli(), order.ID)
			if err != nil || n == 0 {
				return err
			}
			changed = true
			return s.note(ctx, tx, order.ID, Finish, string(outcome))
		})
	})
	if err == nil && changed {
		s.metrics.finished.WithLabelValues(string(outcome)).Inc()
	}
	return err
}

func (s *Steps) observe(ctx context.Context, step Step, order Order, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	ctx, span := s.tracer.Start(ctx, "workflow "+string(step), trace.WithAttributes(attribute.String("order", order.ID)))
	defer span.End()
	begin := time.Now()
	err := do(ctx)
	result := resultOK
	switch {
	case IsPermanent(err):
		result = resultPermanent
	case err != nil:
		result = resultError
		err = fmt.Errorf("%s of order %s: %w", step, order.ID, err)
	}
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	s.metrics.steps.WithLabelValues(string(step), result).Observe(time.Since(begin).Seconds())
	return err
}

// begin makes the order's row.
func (s *Steps) begin(ctx context.Context, order Order) error {
	return s.transact(ctx, order, func(database.Tx, Order) error { return nil })
}

// transact runs do in a transaction in which the order has its row: a workflow
// can be faster than the caller who started it. do is given the order of the row,
// which can be another than what the engine has: where two orders come with one id
// at once, the first that makes the row is the order, whichever the engine took
// first.
func (s *Steps) transact(ctx context.Context, order Order, do func(database.Tx, Order) error) error {
	inserted := false
	err := database.InTx(ctx, s.store.db, func(tx database.Tx) (err error) {
		if inserted, err = s.insert(ctx, tx, order); err != nil {
			return err
		}
		if !inserted {
			if err := queryRow(ctx, tx, `SELECT sku, quantity, cents, country FROM workflow_fulfilments WHERE id = $1`, order.ID).
				Scan(&order.SKU, &order.Quantity, &order.Cents, &order.Country); err != nil {
				return fmt.Errorf("read the order: %w", err)
			}
		}
		return do(tx, order)
	})
	if err == nil && inserted {
		s.metrics.started.WithLabelValues("started").Inc()
	}
	return err
}

func (s *Steps) insert(ctx context.Context, tx database.Tx, order Order) (bool, error) {
	now := s.now().UnixMilli()
	n, err := exec(ctx, tx, `INSERT INTO workflow_fulfilments (id, sku, quantity, cents, country, engine, outcome, reason, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, 'running', '', $7, $8) ON CONFLICT (id) DO NOTHING`,
		order.ID, order.SKU, order.Quantity, order.Cents, order.Country, EngineName, now, now)
	if err != nil {
		return false, fmt.Errorf("note the order: %w", err)
	}
	return n == 1, nil
}

// once calls effect, unless the step was done before.
func (s *Steps) once(ctx context.Context, tx database.Tx, id string, step Step, detail string, effect func() error) error {
	n, err := exec(ctx, tx, `INSERT INTO workflow_done (order_id, step, state) VALUES ($1, $2, 'done') ON CONFLICT (order_id, step) DO NOTHING`, id, string(step))
	if err != nil {
		return err
	}
	if n == 0 {
		state, err := s.state(ctx, tx, id, step)
		if err != nil || state == done {
			return err
		}
		return permanent("%s: was undone before", step)
	}
	if err := effect(); err != nil {
		return err
	}
	return s.note(ctx, tx, id, step, detail)
}

// undo calls reverse where the step was done and not undone yet, and notes in any
// case that it is undone.
func (s *Steps) undo(ctx context.Context, tx database.Tx, id string, step, by Step, reverse func() error) error {
	n, err := exec(ctx, tx, `INSERT INTO workflow_done (order_id, step, state) VALUES ($1, $2, 'undone') ON CONFLICT (order_id, step) DO NOTHING`, id, string(step))
	if err != nil || n == 1 {
		return err // it was never done, and now can't be
	}
	n, err = exec(ctx, tx, `UPDATE workflow_done SET state = 'undone' WHERE order_id = $1 AND step = $2 AND state = 'done'`, id, string(step))
	if err != nil || n == 0 {
		return err
	}
	if err := reverse(); err != nil {
		return err
	}
	return s.note(ctx, tx, id, by, "")
}

func (s *Steps) state(ctx context.Context, tx database.Tx, id string, step Step) (state string, err error) {
	err = queryRow(ctx, tx, `SELECT state FROM workflow_done WHERE order_id = $1 AND step = $2`, id, string(step)).Scan(&state)
	return state, err
}

func (s *Steps) note(ctx context.Context, tx database.Tx, id string, step Step, detail string) error {
	_, err := exec(ctx, tx, `INSERT INTO workflow_history (order_id, number, step, detail, at)
		SELECT CAST($1 AS TEXT), count(*) + 1, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT) FROM workflow_history WHERE order_id = $5`,
		id, string(step), detail, s.now().UnixMilli(), id)
	return err
}

// The example's effects. In a service of your own the call of another system
// stands here, with order id and step as its idempotency key.

// reserve takes the goods off the stock.
func (s *Steps) reserve(ctx context.Context, tx database.Tx, order Order) error {
	return s.once(ctx, tx, order.ID, Reserve, fmt.Sprintf("%d of %s", order.Quantity, order.SKU), func() error {
		n, err := exec(ctx, tx, `UPDATE workflow_stock SET available = available - $1 WHERE sku = $2 AND available >= $3`,
			order.Quantity, order.SKU, order.Quantity)
		if err == nil && n == 0 {
			err = permanent("reserve: there are not %d of %s in stock", order.Quantity, order.SKU)
		}
		return err
	})
}

// release puts the goods back.
func (s *Steps) release(ctx context.Context, tx database.Tx, order Order) error {
	return s.undo(ctx, tx, order.ID, Reserve, Release, func() error {
		_, err := exec(ctx, tx, `UPDATE workflow_stock SET available = available + $1 WHERE sku = $2`, order.Quantity, order.SKU)
		return err
	})
}

// creditLimit is the most that the example's customers can pay for an order.
const creditLimit = 100_000

// charge takes the money.
func (s *Steps) charge(ctx context.Context, tx database.Tx, order Order) error {
	return s.once(ctx, tx, order.ID, Charge, fmt.Sprintf("%d cents", order.Cents), func() error {
		if order.Cents > creditLimit {
			return permanent("charge: the card was declined")
		}
		_, err := exec(ctx, tx, `INSERT INTO workflow_payments (order_id, cents, at) VALUES ($1, $2, $3)`, order.ID, order.Cents, s.now().UnixMilli())
		return err
	})
}

// refund gives the money back: a payment of less than nothing.
func (s *Steps) refund(ctx context.Context, tx database.Tx, order Order) error {
	return s.undo(ctx, tx, order.ID, Charge, Refund, func() error {
		_, err := exec(ctx, tx, `INSERT INTO workflow_payments (order_id, cents, at) VALUES ($1, $2, $3)`, order.ID, -order.Cents, s.now().UnixMilli())
		return err
	})
}

// nowhere is a country that no country is: ISO 3166 leaves it to users.
const nowhere = "XX"

// ship hands the parcel over. It can't be undone, which is why it is the last.
func (s *Steps) ship(ctx context.Context, tx database.Tx, order Order) error {
	return s.once(ctx, tx, order.ID, Ship, order.Country, func() error {
		if order.Country == nowhere {
			return permanent("ship: nobody delivers to %s", order.Country)
		}
		_, err := exec(ctx, tx, `INSERT INTO workflow_shipments (order_id, country, at) VALUES ($1, $2, $3)`, order.ID, order.Country, s.now().UnixMilli())
		return err
	})
}

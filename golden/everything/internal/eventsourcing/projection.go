package eventsourcing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"example.com/orders/internal/database"
)

// A Projection follows all events, in their order, and makes something of each: a
// row of a view, the next step of a process, a message to others.
type Projection struct {
	Name string
	// Handle makes an event's part of it, in the transaction in which it is noted
	// that the event is done with. So what it does in tx is done once, whatever is
	// killed; what it does elsewhere can be done twice. Generation is what tells the
	// rows of a view that is being rebuilt from those that are read.
	Handle func(ctx context.Context, tx database.Tx, generation int64, e Event) error
	// Drop deletes all rows of a generation. A projection without it can't be
	// rebuilt: its steps have been taken.
	Drop func(ctx context.Context, tx database.Tx, generation int64) error
	// Deliver takes Handle's place in a projection that hands events to something
	// outside of the database: no transaction is open meanwhile, and what it has
	// handed over and not yet noted when the process is killed, or the database goes
	// away, it hands over again.
	Deliver func(ctx context.Context, e Event) error
}

// ErrNoProjection means that there is none of that name that can be rebuilt.
var ErrNoProjection = errors.New("there is no such projection that can be rebuilt")

// A runner runs one projection.
type runner struct {
	Projection
	log  *Log
	wake chan struct{}
	// limit is how many events a batch may have: fewer after a conflict, so that
	// streams which others change all the time can be got hold of.
	limit     int
	conflicts int   // in a row
	fault     error // why it stands still
}

// Follow returns what runs a projection until its context ends. All instances of
// the service may run it: one at a time is at work. It begins with the first event.
func (l *Log) Follow(p Projection) (run func(context.Context) error) {
	r := &runner{Projection: p, log: l, wake: make(chan struct{}, 1), limit: l.config.BatchEvents}
	l.mu.Lock()
	l.projections = append(l.projections, r)
	l.mu.Unlock()
	l.metrics.failures.WithLabelValues(p.Name)
	l.metrics.handled.WithLabelValues(p.Name)
	return r.run
}

func (r *runner) look() {
	select {
	case r.wake <- struct{}{}:
	default: // it will
	}
}

func (r *runner) run(ctx context.Context) error {
	poll := time.NewTicker(r.log.config.PollInterval)
	defer poll.Stop()
	for ready := false; ; {
		var err error
		if !ready {
			if err = addGeneration(ctx, r.log.db, r.Name, 1, true); err == nil {
				ready = true
			}
		}
		more := false
		if ready {
			more, err = r.turn(ctx)
			err = errors.Join(err, r.measure(ctx)) // one that stands still, too
		}
		if ctx.Err() != nil {
			return nil
		}
		r.report(ctx, err)
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
		case <-r.woken(err):
		}
	}
}

// report counts each failure, and logs it where it is another one than before.
func (r *runner) report(ctx context.Context, err error) {
	before := r.fault
	r.fault = err
	if err == nil {
		if before != nil {
			r.log.log.InfoContext(ctx, "a projection goes on", "projection", r.Name)
		}
		return
	}
	r.log.metrics.failures.WithLabelValues(r.Name).Inc()
	if before == nil || before.Error() != err.Error() {
		r.log.log.ErrorContext(ctx, "a projection stands still", "projection", r.Name, "error", err)
	}
}

// woken is what interrupts the wait for the next poll: not while the database or
// an event is broken, or each append would be another attempt.
func (r *runner) woken(err error) <-chan struct{} {
	if err != nil {
		return nil
	}
	return r.wake
}

// turn works off a batch for each generation, and reports whether there may be more.
func (r *runner) turn(ctx context.Context) (more bool, err error) {
	states, err := projectionStates(ctx, r.log.db, r.Name)
	if err != nil {
		return false, err
	}
	for _, s := range states {
		n, err := r.batch(ctx, s.generation)
		if errors.Is(err, ErrConflict) && r.conflicts < r.log.config.MaxAttempts {
			more = true // somebody else was quicker with a stream: decide anew
			if r.limit == 1 {
				r.conflicts++
			}
			r.limit = max(1, r.limit/2)
			continue
		}
		if err != nil {
			return false, err
		}
		limit := r.limit
		r.conflicts, r.limit = 0, min(2*limit, r.log.config.BatchEvents)
		if n == limit {
			more = true
		} else if !s.live {
			if err := r.promote(ctx, s.generation); err != nil {
				return false, err
			}
		}
	}
	return more, nil
}

// batch works off events for one generation. It returns how many, 0 also when
// another instance is at it.
func (r *runner) batch(ctx context.Context, generation int64) (n int, err error) {
	if r.Deliver != nil {
		n, err = r.deliver(ctx, generation)
	} else {
		err = database.InTx(ctx, r.log.db, func(tx database.Tx) error {
			after, ok, err := lockState(ctx, tx, r.Name, generation)
			if err != nil || !ok {
				return err
			}
			var to Cursor
			n, to, err = r.each(ctx, tx, after, func(ctx context.Context, e Event) error { return r.Handle(ctx, tx, generation, e) })
			if err != nil || n == 0 {
				return err
			}
			return advance(ctx, tx, r.Name, generation, after, to)
		})
	}
	if n > 0 && (err == nil || r.Deliver != nil) {
		r.log.metrics.handled.WithLabelValues(r.Name).Add(float64(n))
		r.log.wake() // handlers append
	}
	return n, err
}

// noteTimeout is how long it may take to note what was delivered.
const noteTimeout = 5 * time.Second

// deliver works off events outside of a transaction. What was delivered is noted
// when the next one can't be, too, and when the service is told to stop.
func (r *runner) deliver(ctx context.Context, generation int64) (n int, err error) {
	err = whileLocked(ctx, r.log.db, r.Name, func(q querier) error {
		after, ok, err := stateOf(ctx, q, r.Name, generation)
		if err != nil || !ok {
			return err
		}
		var to Cursor
		n, to, err = r.each(ctx, q, after, r.Deliver)
		if n == 0 {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
		defer cancel()
		return errors.Join(err, advance(ctx, q, r.Name, generation, after, to))
	})
	return n, err
}

// each does something with each event of a batch. It returns with how many it did,
// and where the last of them is.
func (r *runner) each(ctx context.Context, q querier, after Cursor, do func(context.Context, Event) error) (n int, to Cursor, err error) {
	events, err := readAll(ctx, q, after, r.limit)
	if err != nil || len(events) == 0 {
		return 0, after, err
	}
	ctx, span := r.log.tracer.Start(ctx, "eventsourcing project", trace.WithAttributes(attribute.String("projection", r.Name), attribute.Int("events", len(events))))
	defer func() { endSpan(span, err) }()
	to = after
	for _, e := range events {
		if e.Value, err = r.log.types.decode(e); err == nil {
			err = do(ctx, e)
		}
		if err != nil {
			return n, to, fmt.Errorf("event %d of %s (%s): %w", e.Version, e.Stream, e.Type, err)
		}
		n, to = n+1, e.Cursor
	}
	return n, to, nil
}

// promote makes a rebuilt generation the one that is read, once it has all that
// the one before it has, and deletes that.
func (r *runner) promote(ctx context.Context, generation int64) error {
	return database.InTx(ctx, r.log.db, func(tx database.Tx) error {
		before, ok, err := overtaken(ctx, tx, r.Name, generation)
		if err != nil || !ok {
			return err
		}
		if err := setLive(ctx, tx, r.Name, generation, before); err != nil {
			return err
		}
		r.log.log.InfoContext(ctx, "a projection is rebuilt", "projection", r.Name, "generation", generation)
		return r.Drop(ctx, tx, before)
	})
}

func (r *runner) measure(ctx context.Context) error {
	seconds, err := lag(ctx, r.log.db, r.Name)
	if err == nil {
		r.log.metrics.lag.WithLabelValues(r.Name).Set(max(0, seconds))
	}
	return err
}

// Rebuild works a view out anew, beside the one that is read, which it then takes
// the place of. It returns when that has begun; to begin while one is going on
// changes nothing. The error is [ErrNoProjection] for a name that is none, or of one
// that has taken steps and can't take them back.
func (l *Log) Rebuild(ctx context.Context, name string) error {
	r := l.rebuildable(name)
	if r == nil {
		return fmt.Errorf("%q: %w", name, ErrNoProjection)
	}
	states, err := projectionStates(ctx, l.db, name)
	if err != nil || len(states) != 1 {
		return err
	}
	if err := addGeneration(ctx, l.db, name, states[0].generation+1, false); err != nil {
		return err
	}
	r.look()
	return nil
}

func (l *Log) rebuildable(name string) *runner {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.projections {
		if r.Name == name && r.Drop != nil {
			return r
		}
	}
	return nil
}

// Package eventsourcing keeps what happened, as events that are appended and never
// changed, and all else as something that is worked out from them: the state of
// one thing by its stream (an [Aggregate]), views and next steps by following all
// events (a [Projection]).
//
// It knows nothing of what the events mean.
package eventsourcing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"example.com/orders/internal/database"
	"example.com/orders/internal/setting"
)

// Config says how events are followed.
type Config struct {
	// PollInterval is how long an event of another instance may stay unseen by the
	// projections of this one. Those of the same instance are seen at once.
	PollInterval time.Duration `env:"EVENTSOURCING_POLL_INTERVAL" envDefault:"500ms"`
	// BatchEvents is how many events a projection works off in one transaction.
	BatchEvents int `env:"EVENTSOURCING_BATCH_EVENTS" envDefault:"200"`
	// SnapshotEvery is after how many events of a stream its state is kept, so that
	// loading it begins there.
	SnapshotEvery int64 `env:"EVENTSOURCING_SNAPSHOT_EVERY" envDefault:"100"`
	// MaxAttempts is how often a change is decided anew when others changed the same
	// stream in between.
	MaxAttempts int `env:"EVENTSOURCING_MAX_ATTEMPTS" envDefault:"5"`
}

// Validate reports a value that can't be meant.
func (c Config) Validate() error {
	return errors.Join(
		setting.Between("EVENTSOURCING_POLL_INTERVAL", c.PollInterval, time.Millisecond, time.Hour),
		setting.Between("EVENTSOURCING_BATCH_EVENTS", c.BatchEvents, 1, 10_000),
		setting.Between("EVENTSOURCING_SNAPSHOT_EVERY", c.SnapshotEvery, 1, 1_000_000),
		setting.Between("EVENTSOURCING_MAX_ATTEMPTS", c.MaxAttempts, 1, 100),
	)
}

// An Event is one thing that happened.
type Event struct {
	// Stream is what it happened to, and Version its number there, from 1.
	Stream  string
	Version int64
	// Cursor is its place among all events.
	Cursor Cursor
	// Type names what happened, and Schema the form in which Data was written.
	Type   string
	Schema int
	Data   json.RawMessage
	At     time.Time
	// Value is the data as the Go value that the type is registered with, in the
	// form of today.
	Value any
}

// A Cursor is a place among all events. The zero value is before the first.
//
// Events are ordered by the transaction that wrote them and then by position: a
// transaction that is still open may write positions below those that others
// have committed, and a reader that went by position alone would pass over them.
type Cursor struct {
	Transaction int64
	Position    int64
}

// AnyVersion lets an append go through whatever the stream's version is: for what is
// noted, and decided by nothing that was read.
const AnyVersion int64 = -1

// ErrConflict means that the stream was not at the version that was expected:
// somebody else has appended.
var ErrConflict = errors.New("the stream has changed")

// A Log is all events. It is safe for concurrent use.
type Log struct {
	db      *database.Pool
	types   *Types
	config  Config
	log     *slog.Logger
	tracer  trace.Tracer
	metrics metrics

	mu          sync.Mutex
	projections []*runner
}

// New returns the log in the database, with the types of events that it can hold.
// The error says why its order can't be trusted.
func New(ctx context.Context, db *database.Pool, types *Types, config Config, log *slog.Logger, registry prometheus.Registerer, tracing trace.TracerProvider) (*Log, error) {
	if err := checkOrder(ctx, db); err != nil {
		return nil, err
	}
	l := &Log{db: db, types: types, config: config, log: log, tracer: tracing.Tracer("eventsourcing"), metrics: newMetrics(registry)}
	for name := range types.byName { // or a rate does not see the first of a type
		l.metrics.appended.WithLabelValues(name)
	}
	return l, nil
}

// Append adds events to a stream, all or none, if the stream is at the expected
// version: 0 for one that does not exist yet, or [AnyVersion]. It returns the
// version that the stream has then. The error is [ErrConflict] where it is at
// another; of several that append at once, one wins.
func (l *Log) Append(ctx context.Context, stream string, expected int64, values ...any) (version int64, err error) {
	for attempt := 1; ; attempt++ {
		version, _, err = l.append(ctx, stream, expected, values)
		if expected != AnyVersion || !errors.Is(err, ErrConflict) || attempt >= l.config.MaxAttempts {
			return version, err
		}
		if err := pause(ctx, attempt, err); err != nil {
			return 0, err
		}
	}
}

// The first pause after a conflict, which is doubled, and the longest.
const (
	firstPause   = 10 * time.Millisecond
	longestPause = 160 * time.Millisecond
)

// pause waits after an attempt that met a conflict, half of the time by chance, so
// that those who met each other don't meet again. The error says that the time is
// over, and what the conflict was.
func pause(ctx context.Context, attempt int, conflict error) error {
	most := min(firstPause<<min(attempt-1, 10), longestPause)
	timer := time.NewTimer(most/2 + rand.N(most/2)) //nolint:gosec // spreads load, keeps no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w, and then: %w", conflict, ctx.Err())
	}
}

func (l *Log) append(ctx context.Context, stream string, expected int64, values []any) (version int64, events []Event, err error) {
	err = database.InTx(ctx, l.db, func(tx database.Tx) error {
		version, events, err = l.appendTx(ctx, tx, stream, expected, values)
		return err
	})
	if err != nil {
		return 0, nil, l.conflict(stream, err)
	}
	l.wake()
	return version, events, nil
}

// conflict turns an error that says that another transaction took the version,
// while this one waited for it, into [ErrConflict].
func (l *Log) conflict(stream string, err error) error {
	if !isTaken(err) {
		return err
	}
	l.metrics.conflicts.Inc()
	return fmt.Errorf("%s: %w (%w)", stream, ErrConflict, err)
}

// AppendTx is [Log.Append] as a part of a transaction, with whose commit the events
// are there; projections find them when they next look. After an error the
// transaction can only be rolled back; it is [ErrConflict], with [AnyVersion] too,
// where another transaction took the version at the same moment.
func (l *Log) AppendTx(ctx context.Context, tx database.Tx, stream string, expected int64, values ...any) error {
	_, _, err := l.appendTx(ctx, tx, stream, expected, values)
	return l.conflict(stream, err)
}

func (l *Log) appendTx(ctx context.Context, tx database.Tx, stream string, expected int64, values []any) (version int64, events []Event, err error) {
	ctx, span := l.tracer.Start(ctx, "eventsourcing append", trace.WithAttributes(attribute.String("stream", stream), attribute.Int("events", len(values))))
	defer func() { endSpan(span, err) }()
	version, err = streamVersion(ctx, tx, stream)
	if err != nil {
		return 0, nil, err
	}
	if expected != AnyVersion && version != expected {
		l.metrics.conflicts.Inc()
		return 0, nil, fmt.Errorf("%s: is at version %d, expected %d: %w", stream, version, expected, ErrConflict)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	for _, v := range values {
		e, err := l.types.encode(v)
		if err != nil {
			return 0, nil, fmt.Errorf("%s: %w", stream, err)
		}
		version++
		e.Stream, e.Version, e.At = stream, version, now
		if err := insertEvent(ctx, tx, e); err != nil {
			return 0, nil, fmt.Errorf("%s: append %s: %w", stream, e.Type, err)
		}
		l.metrics.appended.WithLabelValues(e.Type).Inc()
		events = append(events, e)
	}
	return version, events, nil
}

func endSpan(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// Stream returns up to limit events of a stream that come after a version.
func (l *Log) Stream(ctx context.Context, stream string, after int64, limit int) ([]Event, error) {
	return l.decoded(readStream(ctx, l.db, stream, after, limit))
}

// decoded gives events their values.
func (l *Log) decoded(events []Event, err error) ([]Event, error) {
	if err != nil {
		return nil, err
	}
	for i := range events {
		if events[i].Value, err = l.types.decode(events[i]); err != nil {
			return nil, fmt.Errorf("event %d of %s: %w", events[i].Version, events[i].Stream, err)
		}
	}
	return events, nil
}

// wake has the projections of this instance look for events.
func (l *Log) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.projections {
		r.look()
	}
}

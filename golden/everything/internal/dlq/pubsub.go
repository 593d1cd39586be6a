package dlq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/riverqueue/river"

	"example.com/everything/internal/database"
	"example.com/everything/internal/pubsub"
	"example.com/everything/internal/workers"
)

// A Handler works on a message for a group of consumers. It may be called again
// with a message that it has dealt with.
type Handler func(context.Context, pubsub.Delivery) error

// Streams is the source of the messages that groups of stream consumers could
// not handle.
//
// A message is copied to a table of the database first, once, and only then
// acknowledged: what dies in between is delivered again and known by its group
// and its place in the stream. A letter that is requeued is not published again,
// since all other groups and readers of its topic would see it twice: it becomes
// a job, in the transaction that takes it off the list.
type Streams struct {
	db       *database.Pool
	pool     *workers.Pool
	queue    *Queue
	log      *slog.Logger
	config   Config
	handlers map[string]Handler
	store    letters
	unburied unburied
}

// letters is what Streams keeps its letters in.
type letters interface {
	// bury adds a dead letter, and returns its key and whether it is a new one.
	bury(context.Context, streamLetter) (key int64, fresh bool, err error)
	// buried reports whether the message ever was a dead letter.
	buried(ctx context.Context, group string, seq int64, storedAt time.Time) (bool, error)
	// get returns a letter and its state, or ErrNotFound.
	get(ctx context.Context, key int64) (streamLetter, string, error)
	list(context.Context, Query) ([]streamLetter, error)
	// count returns how many are dead, and since when.
	count(context.Context) (int, time.Time, error)
	// move changes the state of a letter from one to another, and reports whether
	// it was in the one. What is done or discarded keeps no payload.
	move(ctx context.Context, tx database.Tx, key int64, from, to string) (bool, error)
	// dieAgain makes a requeued letter dead, with a new cause and one attempt more.
	dieAgain(ctx context.Context, key int64, cause, stack string, at time.Time) error
	// purge deletes the dead that died before one time, and those dealt with that
	// died before another.
	purge(ctx context.Context, dead, dealtWith time.Time) error
}

// The states of a letter.
const (
	stateDead      = "dead"
	stateRequeued  = "requeued"
	stateDone      = "done"
	stateDiscarded = "discarded"
)

// A streamLetter is a row of the table.
type streamLetter struct {
	key      int64
	group    string
	message  pubsub.Message
	attempts int
	cause    string
	stack    string
	diedAt   time.Time
}

// redelivery is the job that has a requeued letter handled.
type redelivery struct {
	Letter int64 `json:"letter"`
}

// Kind implements [river.JobArgs].
func (redelivery) Kind() string { return "dlq_redelivery" }

// NewStreams returns the source of dead messages without a group, and registers
// the jobs of requeued ones with the pool.
func NewStreams(db *database.Pool, pool *workers.Pool, queue *Queue, config Config, log *slog.Logger) *Streams {
	s := &Streams{
		db:       db,
		pool:     pool,
		queue:    queue,
		log:      log,
		config:   config,
		handlers: make(map[string]Handler),
		store:    letterTable{db},
	}
	workers.Add(pool, river.WorkFunc(s.redeliver))
	return s
}

// Handle registers a group's handler and returns it with the dead letters behind
// it, for [pubsub.Bus.ConsumeUntilHandled]. A message becomes a dead letter after
// DLQ_STREAM_ATTEMPTS, at once when its error has a method Permanent that returns
// true, and when its consumers died with it as often. A panic is an error. Call
// it before anything runs.
//
// While the database is down, the handler is called with what was not tried often
// enough, dead letter or not, so that deliveries are calls; what was, waits with
// its cause.
func (s *Streams) Handle(group string, handle Handler) Handler {
	s.handlers[group] = handle
	s.queue.Expect(s.Name(), group)
	return func(ctx context.Context, d pubsub.Delivery) error {
		if d.Attempt > 1 && s.wasBuried(ctx, group, d) {
			s.unburied.take(group, d)
			return nil // it was not acknowledged then
		}
		if l, ok := s.unburied.take(group, d); ok {
			return s.bury(ctx, l)
		}
		l := streamLetter{group: group, message: d.Message, attempts: s.config.StreamAttempts, cause: errAbandoned.Error()}
		if d.Attempt <= uint64(s.config.StreamAttempts) { //nolint:gosec // is more than 0
			err, stack := try(ctx, handle, d)
			if err == nil {
				return nil
			}
			if ctx.Err() != nil { // the service stops: that's not the message's fault
				return err
			}
			if d.Attempt < uint64(s.config.StreamAttempts) && !isPermanent(err) { //nolint:gosec // is more than 0
				return &laterError{err, s.rest(d.Attempt)}
			}
			l.attempts, l.cause, l.stack = int(d.Attempt), printable(err.Error()), printable(stack) //nolint:gosec // fits
		}
		l.diedAt = time.Now()
		return s.bury(ctx, l)
	}
}

var errAbandoned = errors.New("its last error is not known: its consumer died, stopped or took too long, or stopped before it could write down why")

// A laterError says when to deliver a message again.
type laterError struct {
	error
	after time.Duration
}

// Unwrap returns the error itself.
func (e *laterError) Unwrap() error { return e.error }

// RetryAfter is what the bus asks for.
func (e *laterError) RetryAfter() time.Duration { return e.after }

// rest returns how long a message rests after a number of attempts.
func (s *Streams) rest(attempts uint64) time.Duration {
	d := s.config.StreamBackoff
	for ; attempts > 1 && d < maxStreamBackoff; attempts-- {
		d *= 2
	}
	return min(d, maxStreamBackoff)
}

// wasBuried reports whether the message is known to have been a dead letter.
func (s *Streams) wasBuried(ctx context.Context, group string, d pubsub.Delivery) bool {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	buried, err := s.store.buried(ctx, group, seqOf(d.Message), d.Time)
	if err != nil {
		s.log.ErrorContext(ctx, "is a message a dead letter? It is taken for none", "group", group, "seq", d.Seq, "error", err)
	}
	return err == nil && buried
}

func (s *Streams) bury(ctx context.Context, l streamLetter) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	key, fresh, err := s.store.bury(ctx, l)
	if err != nil { // it stays in the stream, and is delivered again
		s.unburied.put(l)
		return &laterError{fmt.Errorf("dead letter of %s: %w; its cause: %s", l.group, err, l.cause), s.rest(1)}
	}
	if fresh {
		s.queue.Died(ctx, s.Name(), l.group, key, l.cause)
	}
	return nil
}

// unburied keeps the letters that the database did not take, so that they are
// not without their cause when it does. What another instance buries instead
// stays here until there are too many.
type unburied struct {
	mu      sync.Mutex
	letters map[place]streamLetter
}

// A place is what tells one group's message from all others.
type place struct {
	group    string
	seq      uint64
	storedAt int64
}

// maxUnburied bounds the memory for letters. One that is dropped is without its
// cause, and no more.
const maxUnburied = 1000

func (u *unburied) put(l streamLetter) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.letters == nil {
		u.letters = make(map[place]streamLetter)
	}
	for p := range u.letters {
		if len(u.letters) < maxUnburied {
			break
		}
		delete(u.letters, p)
	}
	l.message.Data = nil // the delivery brings it along
	u.letters[place{l.group, l.message.Seq, l.message.Time.UnixNano()}] = l
}

// take removes the letter of a delivery, and returns it with its message.
func (u *unburied) take(group string, d pubsub.Delivery) (streamLetter, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := place{group, d.Seq, d.Time.UnixNano()}
	l, ok := u.letters[p]
	delete(u.letters, p)
	l.message = d.Message
	return l, ok
}

// try calls the handler, and makes an error of its panic.
func try(ctx context.Context, handle Handler, d pubsub.Delivery) (err error, stack string) { //nolint:staticcheck // the stack is what belongs to the error
	defer func() {
		if v := recover(); v != nil {
			err, stack = fmt.Errorf("panic: %v", v), string(debug.Stack())
		}
	}()
	return handle(ctx, d), ""
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// printable makes text that a database takes: PostgreSQL refuses zeros and what
// is no UTF-8.
func printable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func seqOf(m pubsub.Message) int64 {
	return int64(min(m.Seq, math.MaxInt64)) //nolint:gosec // fits
}

// redeliver works the job of a requeued letter. When the handler fails again, so
// that the letter is dead again, the job itself has done what it should.
func (s *Streams) redeliver(ctx context.Context, job *river.Job[redelivery]) error {
	l, state, err := s.store.get(ctx, job.Args.Letter)
	if errors.Is(err, ErrNotFound) || err == nil && state != stateRequeued {
		return nil // it was dealt with, and this process's predecessor died then
	}
	if err != nil {
		return err
	}
	err, stack := fmt.Errorf("there is no handler of the group %q", l.group), ""
	if handle, ok := s.handlers[l.group]; ok {
		err, stack = try(ctx, handle, pubsub.Delivery{Message: l.message, Attempt: uint64(l.attempts) + 1}) //nolint:gosec // fits
	}
	if err == nil {
		return database.InTx(ctx, s.db, func(tx database.Tx) error {
			_, err := s.store.move(ctx, tx, l.key, stateRequeued, stateDone)
			return err
		})
	}
	if ctx.Err() != nil {
		return err
	}
	if err := s.store.dieAgain(ctx, l.key, printable(err.Error()), printable(stack), time.Now()); err != nil {
		return err
	}
	s.queue.Died(ctx, s.Name(), l.group, l.key, err.Error())
	return nil
}

// Name implements [Source].
func (s *Streams) Name() string { return "streams" }

// List implements [Source].
func (s *Streams) List(ctx context.Context, query Query) ([]Letter, error) {
	rows, err := s.store.list(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("list dead messages: %w", err)
	}
	letters := make([]Letter, 0, len(rows))
	for _, row := range rows {
		letters = append(letters, s.letter(row))
	}
	return letters, nil
}

// letter returns a row's letter as a list has it.
func (s *Streams) letter(row streamLetter) Letter {
	return Letter{
		ID:        letterID(s.Name(), row.key),
		Source:    s.Name(),
		Key:       row.key,
		Kind:      row.group,
		Error:     row.cause,
		Attempts:  row.attempts,
		CreatedAt: row.message.Time,
		DiedAt:    row.diedAt,
	}
}

// Get implements [Source].
func (s *Streams) Get(ctx context.Context, key int64) (Letter, error) {
	row, state, err := s.store.get(ctx, key)
	switch {
	case err != nil:
		return Letter{}, err
	case state == stateDiscarded:
		return Letter{}, ErrNotFound
	case state != stateDead:
		return Letter{}, ErrNotDead
	}
	l := s.letter(row)
	if json.Valid(row.message.Data) && utf8.Valid(row.message.Data) {
		l.Payload = row.message.Data
	} else {
		l.Raw = row.message.Data
	}
	l.Details = map[string]string{
		"topic":      row.message.Topic,
		"message_id": row.message.ID,
		"type":       row.message.Type,
		"seq":        strconv.FormatUint(row.message.Seq, 10),
	}
	last := Failure{At: row.diedAt, Attempt: row.attempts, Error: row.cause, Stack: row.stack}
	l.Failures = []Failure{last}
	return l, nil
}

// Requeue implements [Source]: the group's handler is called once more with the
// message, by a job.
func (s *Streams) Requeue(ctx context.Context, key int64) error {
	return s.ifDead(ctx, key, stateRequeued, func(tx database.Tx) error {
		// More attempts than one are for its process's death alone.
		_, err := s.pool.EnqueueTx(ctx, tx, redelivery{key}, &river.InsertOpts{MaxAttempts: 10})
		return err
	})
}

// Discard implements [Source].
func (s *Streams) Discard(ctx context.Context, key int64) error {
	return s.ifDead(ctx, key, stateDiscarded, func(database.Tx) error { return nil })
}

// ifDead moves a dead letter to another state, and calls do in the transaction.
func (s *Streams) ifDead(ctx context.Context, key int64, to string, do func(database.Tx) error) error {
	err := database.InTx(ctx, s.db, func(tx database.Tx) error {
		moved, err := s.store.move(ctx, tx, key, stateDead, to)
		if err != nil {
			return err
		}
		if !moved {
			return ErrNotDead
		}
		return do(tx)
	})
	if errors.Is(err, ErrNotDead) { // or is there none at all?
		if _, err := s.Get(ctx, key); err != nil {
			return err
		}
	}
	return err
}

// Count implements [Source].
func (s *Streams) Count(ctx context.Context) (int, time.Time, error) {
	return s.store.count(ctx)
}

const (
	purgePeriod = time.Hour
	// What was dealt with is remembered far longer than a message can wait for
	// its acknowledgement.
	dealtWithRetention = 30 * 24 * time.Hour
)

// Run deletes what is older than its retention, until ctx is done.
func (s *Streams) Run(ctx context.Context) error {
	ticker := time.NewTicker(purgePeriod)
	defer ticker.Stop()
	for {
		if err := s.purge(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "delete old dead letters", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (s *Streams) purge(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	dead := time.UnixMicro(0) // for ever
	if s.config.Retention > 0 {
		dead = now.Add(-s.config.Retention)
	}
	return s.store.purge(ctx, dead, now.Add(-dealtWithRetention))
}

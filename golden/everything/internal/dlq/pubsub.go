package dlq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"example.com/orders/internal/database"
	"example.com/orders/internal/pubsub"
	"example.com/orders/internal/workers"
)

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
	// stranded returns letters that are requeued and that no job is to handle any
	// more, up to a limit.
	stranded(ctx context.Context, limit int) ([]streamLetter, error)
	// purge deletes the dead that died before one time, and those dealt with that
	// died before another, up to a limit. It returns how many.
	purge(ctx context.Context, dead, dealtWith time.Time, limit int) (int, error)
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
	stack, err := "", fmt.Errorf("there is no handler of the group %q", l.group)
	if handle, ok := s.handlers[l.group]; ok {
		stack, err = try(ctx, handle, pubsub.Delivery{Message: l.message, Attempt: uint64(l.attempts) + 1}) //nolint:gosec // fits
	}
	if err == nil {
		return database.InTx(ctx, s.db, func(tx database.Tx) error {
			_, err := s.store.move(ctx, tx, l.key, stateRequeued, stateDone)
			return err
		})
	}
	if ctx.Err() != nil && !gaveUp(ctx) { // the service stops: that's not the message's fault
		return err
	}
	return s.dieAgain(ctx, l, err, stack)
}

// gaveUp reports whether a job's context ended because its time was up, or somebody
// cancelled it.
func gaveUp(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return errors.Is(cause, context.DeadlineExceeded) || errors.Is(cause, rivertype.ErrJobCancelledRemotely)
}

// dieAgain makes a requeued letter dead.
func (s *Streams) dieAgain(ctx context.Context, l streamLetter, cause error, stack string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Timeout)
	defer cancel()
	if err := s.store.dieAgain(ctx, l.key, printable(cause.Error()), printable(stack), time.Now()); err != nil {
		return err
	}
	s.queue.Died(ctx, s.Name(), l.group, l.key, cause.Error())
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
	sweepPeriod = time.Minute
	// sweepBatch bounds how long one statement holds the database.
	sweepBatch = 1000
	// What was dealt with is remembered far longer than a message can wait for
	// its acknowledgement.
	dealtWithRetention = 30 * 24 * time.Hour
)

// Run deletes what is older than its retention, and takes back what is stranded,
// until ctx is done.
func (s *Streams) Run(ctx context.Context) error {
	ticker := time.NewTicker(sweepPeriod)
	defer ticker.Stop()
	for {
		if err := errors.Join(s.takeBack(ctx), s.purge(ctx, time.Now())); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "sweep the dead letters", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

var errStranded = errors.New("its job was cancelled, or its process died with it as often as it may")

// takeBack makes requeued letters dead again whose job ended without the handler's
// verdict, so that they are seen.
func (s *Streams) takeBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	stranded, err := s.store.stranded(ctx, sweepBatch)
	if err != nil {
		return err
	}
	for _, l := range stranded {
		if err := s.dieAgain(ctx, l, errStranded, ""); err != nil {
			return err
		}
	}
	return nil
}

func (s *Streams) purge(ctx context.Context, now time.Time) error {
	dead := time.UnixMicro(0) // for ever
	if s.config.Retention > 0 {
		dead = now.Add(-s.config.Retention)
	}
	for {
		n, err := s.purgeBatch(ctx, dead, now.Add(-dealtWithRetention))
		if err != nil || n < sweepBatch {
			return err
		}
	}
}

func (s *Streams) purgeBatch(ctx context.Context, dead, dealtWith time.Time) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	return s.store.purge(ctx, dead, dealtWith, sweepBatch)
}

// Package dlq owns the dead letters: what failed for good, kept with its cause
// so that a person can look at it, have it tried again once the cause is gone,
// or throw it away. Where dead letters lie is the business of each [Source];
// this package never moves one where leaving it does.
//
// It knows nothing of what the letters are about, or of why they failed.
package dlq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"example.com/orders/internal/setting"
)

// Config holds how long dead letters are kept and how fast they come back.
type Config struct {
	// Retention is how long a dead letter is kept; 0 means for ever.
	Retention time.Duration `env:"DLQ_RETENTION" envDefault:"720h"`
	// RequeueRate is how many letters a second may be requeued, so that a
	// thousand of them don't hit what has only just recovered.
	RequeueRate float64 `env:"DLQ_REQUEUE_RATE" envDefault:"10"`
	// RequeueBurst is how many letters may be requeued at once.
	RequeueBurst int `env:"DLQ_REQUEUE_BURST" envDefault:"50"`
	// PageSize is the length of the longest list.
	PageSize int `env:"DLQ_PAGE_SIZE" envDefault:"100"`
	// SampleInterval is how often the letters are counted for the metrics.
	SampleInterval time.Duration `env:"DLQ_SAMPLE_INTERVAL" envDefault:"15s"`
	// StreamAttempts is how often a message of a stream is tried before it is a
	// dead letter.
	StreamAttempts int `env:"DLQ_STREAM_ATTEMPTS" envDefault:"5"`
	// StreamBackoff is how long a message of a stream rests after its first
	// attempt. It is twice as long after each other one, and at most an hour.
	StreamBackoff time.Duration `env:"DLQ_STREAM_BACKOFF" envDefault:"5s"`
	// Timeout bounds each count, and each question and copy of a stream's message.
	Timeout time.Duration `env:"DLQ_TIMEOUT" envDefault:"5s"`
}

// maxStreamBackoff bounds how long a message rests, whatever its attempts.
const maxStreamBackoff = time.Hour

// Validate reports a value that can't be meant.
func (c Config) Validate() error {
	return errors.Join(
		setting.Between("DLQ_RETENTION", c.Retention, 0, 100*366*24*time.Hour),
		setting.Check(c.RequeueRate > 0 && c.RequeueRate < math.MaxInt32, "DLQ_REQUEUE_RATE=%g: must be more than 0", c.RequeueRate), // NaN is refused too
		setting.Between("DLQ_REQUEUE_BURST", c.RequeueBurst, 1, math.MaxInt32),
		setting.Between("DLQ_PAGE_SIZE", c.PageSize, 1, 1000),
		setting.Between("DLQ_SAMPLE_INTERVAL", c.SampleInterval, time.Millisecond, 24*time.Hour),
		setting.Between("DLQ_STREAM_ATTEMPTS", c.StreamAttempts, 1, math.MaxInt16),
		setting.Between("DLQ_STREAM_BACKOFF", c.StreamBackoff, time.Millisecond, maxStreamBackoff),
		setting.Between("DLQ_TIMEOUT", c.Timeout, time.Millisecond, 24*time.Hour),
	)
}

// A Queue is all the dead letters of the service. Add its sources before it is
// used; then it is safe for concurrent use.
type Queue struct {
	config  Config
	log     *slog.Logger
	sources []Source
	limiter *rate.Limiter
	metrics metrics
	changed chan struct{}
}

// New returns a queue without a source.
func New(config Config, log *slog.Logger, registry prometheus.Registerer) (*Queue, error) {
	q := &Queue{
		config:  config,
		log:     log,
		limiter: rate.NewLimiter(rate.Limit(config.RequeueRate), config.RequeueBurst),
		metrics: newMetrics(),
		changed: make(chan struct{}, 1),
	}
	for _, c := range []prometheus.Collector{q.metrics.dead, q.metrics.requeued, q.metrics.discarded, q.metrics.overruns, q.metrics.counts} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("dead letter metrics: %w", err)
		}
	}
	return q, nil
}

// Add adds a source. Its name must not be taken.
func (q *Queue) Add(source Source) error {
	name := source.Name()
	if name == "" || strings.Contains(name, "-") || q.source(name) != nil {
		return fmt.Errorf("dead letters of %q: the name is empty, has a dash, or is taken", name)
	}
	q.metrics.requeued.WithLabelValues(name)
	q.metrics.discarded.WithLabelValues(name)
	q.metrics.overruns.WithLabelValues(name)
	q.sources = append(q.sources, source)
	slices.SortFunc(q.sources, func(a, b Source) int { return strings.Compare(a.Name(), b.Name()) })
	return nil
}

func (q *Queue) source(name string) Source {
	for _, s := range q.sources {
		if s.Name() == name {
			return s
		}
	}
	return nil
}

// Expect has the counters of kinds of a source's letters begin at 0: a rate does
// not see the first of what is not there before it.
func (q *Queue) Expect(source string, kinds ...string) {
	for _, kind := range kinds {
		q.metrics.dead.WithLabelValues(source, kind)
	}
}

// Died notes that something has become a dead letter.
func (q *Queue) Died(ctx context.Context, source, kind string, key int64, cause string) {
	q.log.ErrorContext(ctx, "dead letter", "id", letterID(source, key), "kind", kind, "error", cause)
	q.metrics.dead.WithLabelValues(source, kind).Inc()
	q.recount()
}

// overrun notes that deaths of a source may have gone untold.
func (q *Queue) overrun(ctx context.Context, source string) {
	q.log.ErrorContext(ctx, "jobs fail faster than their deaths can be told: dlq_dead_total and the log may lack some, the letters are all there", "source", source)
	q.metrics.overruns.WithLabelValues(source).Inc()
	q.recount()
}

// find returns the source and key of a letter's id.
func (q *Queue) find(id string) (Source, int64, error) {
	name, number, _ := strings.Cut(id, "-")
	source := q.source(name)
	key, err := strconv.ParseInt(number, 10, 64)
	if source == nil || err != nil || letterID(name, key) != id {
		return nil, 0, ErrNotFound
	}
	return source, key, nil
}

func letterID(source string, key int64) string {
	return source + "-" + strconv.FormatInt(key, 10)
}

// Get returns the letter with that id, with all that is known of it.
func (q *Queue) Get(ctx context.Context, id string) (Letter, error) {
	source, key, err := q.find(id)
	if err != nil {
		return Letter{}, err
	}
	return source.Get(ctx, key)
}

// Discard deletes the letter with that id.
func (q *Queue) Discard(ctx context.Context, id string) error {
	source, key, err := q.find(id)
	if err != nil {
		return err
	}
	if err := source.Discard(ctx, key); err != nil {
		return err
	}
	q.log.InfoContext(ctx, "dead letter discarded", "id", id)
	q.metrics.discarded.WithLabelValues(source.Name()).Inc()
	q.recount()
	return nil
}

// A TooFastError says that the requeues are over their rate.
type TooFastError struct {
	// After is when the next one is within it.
	After time.Duration
}

// Error says after which time to try again.
func (e *TooFastError) Error() string {
	return fmt.Sprintf("requeues are over their rate; try again in %s", e.After.Round(time.Millisecond))
}

// Requeue has the work of the letter with that id done again. The error is a
// [TooFastError] where that would be over the rate.
func (q *Queue) Requeue(ctx context.Context, id string) error {
	source, key, err := q.find(id)
	if err != nil {
		return err
	}
	if err := q.requeue(ctx, source, key); err != nil {
		return err
	}
	q.recount()
	return nil
}

func (q *Queue) requeue(ctx context.Context, source Source, key int64) error {
	turn := q.limiter.Reserve()
	if wait := turn.Delay(); wait > 0 {
		turn.Cancel()
		return &TooFastError{After: wait}
	}
	if err := source.Requeue(ctx, key); err != nil {
		// Nothing came back: the turn is given back. Cancel would do so only before
		// the turn's time, which is now.
		q.limiter.ReserveN(time.Now(), -1)
		return err
	}
	q.log.InfoContext(ctx, "dead letter requeued", "id", letterID(source.Name(), key))
	q.metrics.requeued.WithLabelValues(source.Name()).Inc()
	return nil
}

// A Requeued is what became of the letters that were to be requeued.
type Requeued struct {
	Requeued int `json:"requeued"`
	// Refused are the letters that can't be requeued, by id, with why.
	Refused map[string]string `json:"refused,omitempty"`
	// More says that the rate or the limit ended it before the letters did.
	More bool `json:"more"`
}

// RequeueMany requeues up to limit letters, of one source and kind where these
// are not empty, the oldest first. A letter that someone else requeues or
// discards meanwhile is passed over. The error is a [TooFastError] where not one
// is within the rate.
func (q *Queue) RequeueMany(ctx context.Context, source, kind string, limit int) (Requeued, error) {
	var done Requeued
	defer q.recount()
	for _, s := range q.sources {
		if source != "" && s.Name() != source {
			continue
		}
		more, err := q.requeueFrom(ctx, s, kind, limit, &done)
		if tooFast := (*TooFastError)(nil); errors.As(err, &tooFast) && done.Requeued > 0 {
			err, more = nil, true
		}
		if err != nil || more {
			done.More = more
			return done, err
		}
	}
	return done, nil
}

// requeueFrom requeues letters of one source until done has as many as limit,
// and then reports that there are more.
func (q *Queue) requeueFrom(ctx context.Context, s Source, kind string, limit int, done *Requeued) (more bool, err error) {
	query := Query{Kind: kind, Limit: q.config.PageSize, OldestFirst: true}
	for {
		letters, err := s.List(ctx, query)
		if err != nil {
			return false, err
		}
		for _, l := range letters {
			if done.Requeued >= limit {
				return true, nil
			}
			switch err := q.requeue(ctx, s, l.Key); {
			case errors.Is(err, ErrNotFound), errors.Is(err, ErrNotDead):
			case errors.Is(err, ErrDuplicate):
				if done.Refused == nil {
					done.Refused = make(map[string]string)
				}
				done.Refused[l.ID] = ErrDuplicate.Error()
			case err != nil:
				return false, err
			default:
				done.Requeued++
			}
			query.After = &Position{l.DiedAt, l.Key}
		}
		if len(letters) < query.Limit {
			return false, nil
		}
	}
}

// Run counts the letters for the metrics until ctx is done.
func (q *Queue) Run(ctx context.Context) error {
	ticker := time.NewTicker(q.config.SampleInterval)
	defer ticker.Stop()
	for {
		for _, s := range q.sources {
			q.count(ctx, s)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-q.changed:
			// Deaths come in crowds: one count is enough for those of a second.
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(min(time.Second, q.config.SampleInterval)):
			}
		}
	}
}

func (q *Queue) count(ctx context.Context, s Source) {
	countCtx, cancel := context.WithTimeout(ctx, q.config.Timeout)
	defer cancel()
	n, oldest, err := s.Count(countCtx)
	if err != nil {
		if ctx.Err() == nil {
			q.log.ErrorContext(ctx, "count dead letters", "source", s.Name(), "error", err)
		}
		return
	}
	q.metrics.counts.set(s.Name(), n, oldest)
}

// recount has the letters counted soon.
func (q *Queue) recount() {
	select {
	case q.changed <- struct{}{}:
	default: // it is asked for already
	}
}

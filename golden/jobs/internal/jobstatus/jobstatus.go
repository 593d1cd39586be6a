// Package jobstatus owns what callers see of their jobs after the id was
// returned: the state, the result or the error, when it will be gone; and how
// they cancel a job.
//
// It knows the pool that works the jobs, and nothing of what they do.
package jobstatus

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"example.com/orders/internal/setting"
	"example.com/orders/internal/workers"
)

// Config says how long jobs can be asked for, and how often.
type Config struct {
	// Retention is how long a job can be read after it succeeded or was
	// cancelled.
	Retention time.Duration `env:"JOBSTATUS_RETENTION" envDefault:"24h"`
	// FailedRetention is how long a job can be read after it failed.
	FailedRetention time.Duration `env:"JOBSTATUS_FAILED_RETENTION" envDefault:"168h"`
	// MaxReads is how many reads of jobs use the database at once. Others wait,
	// so that callers who poll don't take the database from the workers.
	MaxReads int `env:"JOBSTATUS_MAX_READS" envDefault:"4"`
	// ReadTimeout is how long a read may take, waiting included, before it is
	// answered with 503.
	ReadTimeout time.Duration `env:"JOBSTATUS_READ_TIMEOUT" envDefault:"2s"`
	// MaxPage is the largest number of jobs in a page of the list.
	MaxPage int `env:"JOBSTATUS_MAX_PAGE" envDefault:"100"`
}

// Validate reports a value that can't be meant.
func (c Config) Validate() error {
	const most = 100 * 366 * 24 * time.Hour
	return errors.Join(
		setting.Between("JOBSTATUS_RETENTION", c.Retention, time.Millisecond, most),
		setting.Between("JOBSTATUS_FAILED_RETENTION", c.FailedRetention, time.Millisecond, most),
		setting.Between("JOBSTATUS_MAX_READS", c.MaxReads, 1, 10_000),
		setting.Between("JOBSTATUS_READ_TIMEOUT", c.ReadTimeout, time.Millisecond, 24*time.Hour),
		setting.Between("JOBSTATUS_MAX_PAGE", c.MaxPage, 1, 1000),
	)
}

var (
	// ErrNotFound means that there is no such job, or none any more.
	ErrNotFound = errors.New("there is no such job, or its retention has ended")
	// ErrBusy means that a read had to wait too long for its turn.
	ErrBusy = errors.New("too many reads of jobs")
	// ErrFinished means that a job ended before it could be cancelled.
	ErrFinished = errors.New("the job has finished")
)

// A Board shows jobs. It is safe for concurrent use, once the pool has started.
type Board struct {
	pool   *workers.Pool
	config Config
	reads  chan struct{} // holds one of each read that uses the database
	answer Answer        // to a request for one job

	readsTotal   *prometheus.CounterVec
	cancelsTotal *prometheus.CounterVec
}

// New returns a board for the pool's jobs, and has the pool keep them as long as
// the configuration says.
func New(pool *workers.Pool, config Config, registry prometheus.Registerer) (*Board, error) {
	pool.SetRetention(config.Retention, config.Retention)
	pool.SetDiscardedRetention(config.FailedRetention)
	b := &Board{
		pool:   pool,
		config: config,
		reads:  make(chan struct{}, config.MaxReads),
		readsTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jobstatus_reads_total",
			Help: "Reads of jobs and lists of jobs, by result: ok, not_found, busy, error.",
		}, []string{"result"}),
		cancelsTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jobstatus_cancels_total",
			Help: "Requests to cancel a job, by result: ok, not_found, finished, busy, error.",
		}, []string{"result"}),
	}
	b.answer = b.answerNow
	for _, c := range []prometheus.Collector{b.readsTotal, b.cancelsTotal} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of jobstatus: %w", err)
		}
	}
	// The counters begin at 0: a rate does not see the first of what is not there
	// before it.
	for _, result := range []string{"ok", "not_found", "busy", "error"} {
		b.readsTotal.WithLabelValues(result)
		b.cancelsTotal.WithLabelValues(result)
	}
	b.cancelsTotal.WithLabelValues("finished")
	return b, nil
}

// Get returns the job's status, [ErrNotFound] or [ErrBusy].
func (b *Board) Get(ctx context.Context, id int64) (s Status, err error) {
	err = b.read(ctx, func(ctx context.Context) error {
		job, err := b.pool.Client().JobGet(ctx, id)
		if err != nil {
			return notFound(err)
		}
		s = newStatus(job, b.pool.Retention(), true)
		return nil
	})
	count(b.readsTotal, err)
	return s, err
}

// A Query says which jobs to list.
type Query struct {
	State  State  // empty for all; Cancelling counts as Running
	Kind   string // empty for all
	Cursor string // where the last page ended; empty for the first
	Limit  int    // jobs to a page
}

// A Page is a part of a list of jobs, the newest first. Results are left out.
type Page struct {
	Jobs []Status `json:"jobs"`
	// Next is the cursor of the next page; it is empty on the last one.
	Next string `json:"next,omitempty"`
}

// A cursor is the id of the last job of a page. Callers are not to know that.
func encodeCursor(last int64) string {
	return base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, last, 10))
}

func decodeCursor(cursor string) (int64, error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, ErrCursor
	}
	last, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || last < 1 {
		return 0, ErrCursor
	}
	return last, nil
}

// ErrCursor means that a query's cursor is none that a page had.
var ErrCursor = errors.New("no such cursor")

// List returns a page of jobs, [ErrCursor] or [ErrBusy].
func (b *Board) List(ctx context.Context, q Query) (page Page, err error) {
	params := river.NewJobListParams().OrderBy(river.JobListOrderByID, river.SortOrderDesc).First(q.Limit + 1)
	if q.State != "" {
		params = params.States(q.State.jobStates()...)
	}
	if q.Kind != "" {
		params = params.Kinds(q.Kind)
	}
	if q.Cursor != "" {
		last, err := decodeCursor(q.Cursor)
		if err != nil {
			return Page{}, err
		}
		params = params.After(river.JobListCursorFromJob(&rivertype.JobRow{ID: last}))
	}
	err = b.read(ctx, func(ctx context.Context) error {
		result, err := b.pool.Client().JobList(ctx, params)
		if err != nil {
			return err
		}
		page = newPage(result.Jobs, q.Limit, b.pool.Retention())
		return nil
	})
	count(b.readsTotal, err)
	return page, err
}

// Cancel cancels the job: at once when it does not run yet, and else by its
// context, in whichever process it runs. It returns what became of the job, or
// [ErrNotFound], [ErrFinished] or [ErrBusy]. A job that was cancelled before is
// no error.
func (b *Board) Cancel(ctx context.Context, id int64) (s Status, err error) {
	err = b.read(ctx, func(ctx context.Context) error {
		job, err := b.pool.Client().JobCancel(ctx, id)
		if err != nil {
			return notFound(err)
		}
		s = newStatus(job, b.pool.Retention(), true)
		if job.State == rivertype.JobStateCompleted || job.State == rivertype.JobStateDiscarded {
			return ErrFinished
		}
		return nil
	})
	count(b.cancelsTotal, err)
	return s, err
}

func notFound(err error) error {
	if errors.Is(err, river.ErrNotFound) {
		return ErrNotFound
	}
	return err
}

// read calls fn when it is its turn to use the database.
func (b *Board) read(ctx context.Context, fn func(context.Context) error) error {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, b.config.ReadTimeout)
	defer cancel()
	select {
	case b.reads <- struct{}{}:
		defer func() { <-b.reads }()
	case <-ctx.Done():
		return cmp.Or(caller.Err(), ErrBusy)
	}
	if err := fn(ctx); err != nil {
		if ctx.Err() != nil { // which a driver may have put in its own words
			return errors.Join(ctx.Err(), err)
		}
		return err
	}
	return nil
}

func count(c *prometheus.CounterVec, err error) {
	result := "error"
	switch {
	case err == nil:
		result = "ok"
	case errors.Is(err, ErrNotFound):
		result = "not_found"
	case errors.Is(err, ErrFinished):
		result = "finished"
	case errors.Is(err, ErrBusy):
		result = "busy"
	}
	c.WithLabelValues(result).Inc()
}

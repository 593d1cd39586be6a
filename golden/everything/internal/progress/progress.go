// Package progress owns how far jobs have come: job code reports it as often as
// it likes, at most one write of a job each interval keeps it, and callers read it
// or are sent it while the job runs.
//
// Within an attempt, what is kept and shown never goes back. A job that runs again
// counts anew, and has a higher attempt.
//
// It knows the pool that works the jobs, and nothing of what they do, nor of how
// what it publishes gets to clients.
package progress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"example.com/orders/internal/database"
	"example.com/orders/internal/setting"
	"example.com/orders/internal/workers"
)

// Config says what progress may cost.
type Config struct {
	// WriteInterval is the shortest time between two writes of one job's progress,
	// and between two of its events.
	WriteInterval time.Duration `env:"PROGRESS_WRITE_INTERVAL" envDefault:"250ms"`
	// WriteTimeout is how long one write may take, and one event. At the end of an
	// attempt the worker waits for the last of both.
	WriteTimeout time.Duration `env:"PROGRESS_WRITE_TIMEOUT" envDefault:"2s"`
	// MaxNoteBytes is the length of the longest note; longer ones are cut.
	MaxNoteBytes int `env:"PROGRESS_MAX_NOTE_BYTES" envDefault:"200"`
	// MaxReads is how many reads of progress use the database at once. Others
	// wait, so that callers who poll don't take the database from the workers.
	MaxReads int `env:"PROGRESS_MAX_READS" envDefault:"4"`
	// ReadTimeout is how long a read may take, waiting included, before it is
	// answered with 503.
	ReadTimeout time.Duration `env:"PROGRESS_READ_TIMEOUT" envDefault:"2s"`
}

// Validate reports a value that can't be meant.
func (c Config) Validate() error {
	return errors.Join(
		setting.Between("PROGRESS_WRITE_INTERVAL", c.WriteInterval, time.Millisecond, time.Hour),
		setting.Between("PROGRESS_WRITE_TIMEOUT", c.WriteTimeout, time.Millisecond, time.Hour),
		setting.Between("PROGRESS_MAX_NOTE_BYTES", c.MaxNoteBytes, 0, 1000),
		setting.Between("PROGRESS_MAX_READS", c.MaxReads, 1, 10_000),
		setting.Between("PROGRESS_READ_TIMEOUT", c.ReadTimeout, time.Millisecond, 24*time.Hour),
	)
}

// An Update is how far a job has come in one attempt.
type Update struct {
	Job int64 `json:"job,string"`
	// Attempt counts how often a worker has taken the job, also where a shutdown
	// cut it off or it was put off, which the pool itself does not count. A count
	// that goes back has a higher attempt.
	Attempt int64 `json:"attempt"`
	Done    int64 `json:"done"`
	// Total is 0 where it is not known.
	Total int64 `json:"total"`
	// Percent is 100 only when Done has come to Total. It does not go back either
	// when Total grows. It is missing where Total is not known.
	Percent *int   `json:"percent"`
	Note    string `json:"note"`
	// AttemptEnded says that this is the attempt's last word, however it ended.
	AttemptEnded bool `json:"attempt_ended"`
	// UpdatedAt is nil where the attempt has not said anything yet.
	UpdatedAt *time.Time `json:"updated_at"`
}

// A Tracker keeps the progress of jobs. It is safe for concurrent use, once the
// pool has started.
type Tracker struct {
	db      *database.Pool
	config  Config
	log     *slog.Logger
	metrics *metrics
	reads   chan struct{} // holds one of each read that uses the database
	streams []Stream
	names   []string // of the streams
}

// A Stream sends the progress of jobs to clients as it is reported. They ask for
// it at the address at which others ask for the progress itself.
type Stream struct {
	// Name tells clients that there is this stream, see [Progress].
	Name string
	// Wants reports whether the request is for the stream.
	Wants func(*http.Request) bool
	// Serve answers such a request for a job, of which there is one.
	Serve func(w http.ResponseWriter, r *http.Request, job int64) error
	// Publish is called with what a job has come to, one after the other and at
	// most once each WriteInterval for a job: with the newest that there is, and
	// with each attempt's last. Its context ends after WriteTimeout.
	Publish func(context.Context, Update) error
}

// New returns a tracker of the pool's jobs, which are in db, and has the pool give
// each job its [Reporter] and forget the progress of those that are gone.
func New(pool *workers.Pool, db *database.Pool, config Config, log *slog.Logger, registry prometheus.Registerer) (*Tracker, error) {
	t := &Tracker{
		db:      db,
		config:  config,
		log:     log,
		metrics: newMetrics(),
		reads:   make(chan struct{}, config.MaxReads),
		names:   []string{},
	}
	if err := t.metrics.register(registry); err != nil {
		return nil, err
	}
	pool.Use(river.WorkerMiddlewareFunc(t.work))
	t.addSweep(pool)
	return t, nil
}

// AddStream adds a stream. Call it before the pool starts and the tracker serves.
func (t *Tracker) AddStream(s Stream) {
	t.streams = append(t.streams, s)
	t.names = append(t.names, s.Name)
}

// work is the middleware around each attempt of each job.
func (t *Tracker) work(ctx context.Context, job *rivertype.JobRow, attempt func(context.Context) error) error {
	r := &Reporter{
		tracker: t,
		update:  Update{Job: job.ID, Attempt: takes(job)},
		percent: unknown,
	}
	r.ctx = context.WithoutCancel(ctx) // what is left to say at the end is said
	defer r.end()                      // also when the job panics
	return attempt(context.WithValue(ctx, contextKey{}, r))
}

// takes returns how often a worker has taken the job. A job that is put off gets
// its attempt back, and has that counted in its metadata.
func takes(job *rivertype.JobRow) int64 {
	var metadata struct {
		Snoozes int64 `json:"snoozes"`
	}
	_ = json.Unmarshal(job.Metadata, &metadata) // written by River
	return int64(job.Attempt) + metadata.Snoozes
}

type metrics struct {
	updates   prometheus.Counter
	writes    *prometheus.CounterVec
	published *prometheus.CounterVec
	reads     *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		updates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "progress_updates_total",
			Help: "Reports of jobs, most of which are not written.",
		}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "progress_writes_total",
			Help: "Writes of a job's progress, by result: ok, stale (a newer attempt runs), error.",
		}, []string{"result"}),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "progress_published_total",
			Help: "Events with a job's progress, by result: ok, error.",
		}, []string{"result"}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "progress_reads_total",
			Help: "Reads of a job's progress, by result: ok, not_found, busy, error.",
		}, []string{"result"}),
	}
	// The counters begin at 0: a rate does not see the first of what is not there
	// before it.
	for vec, results := range map[*prometheus.CounterVec][]string{
		m.writes:    {"ok", "stale", "error"},
		m.published: {"ok", "error"},
		m.reads:     {"ok", "not_found", "busy", "error"},
	} {
		for _, result := range results {
			vec.WithLabelValues(result)
		}
	}
	return m
}

func (m *metrics) register(registry prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.updates, m.writes, m.published, m.reads} {
		if err := registry.Register(c); err != nil {
			return fmt.Errorf("register the metrics of progress: %w", err)
		}
	}
	return nil
}

// Package workers owns the pool that works jobs in the background: which kinds
// of jobs there are and how many of each run at once, how jobs are enqueued
// within their caller's transaction, how the pool drains, and its metrics. The
// jobs stand in the database's tables of River (https://riverqueue.com).
//
// It knows nothing of what jobs do, and nothing of what is shown of them.
//
// A job runs at least once: when a process is killed in the middle of a job,
// the job runs again. What jobs do must bear that.
package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/trace"

	"example.com/orders/internal/database"
	"example.com/orders/internal/setting"
)

// Config holds the limits of the pool.
type Config struct {
	// Concurrency is how many jobs of one kind run at once in this process.
	Concurrency int `env:"WORKERS_CONCURRENCY" envDefault:"4"`
	// Limits replaces Concurrency for the kinds it names, as in report:1,invoice:8.
	Limits map[string]int `env:"WORKERS_LIMITS"`
	// JobTimeout is how long one attempt of a job may take, unless its worker
	// says otherwise.
	JobTimeout time.Duration `env:"WORKERS_JOB_TIMEOUT" envDefault:"1m"`
	// RescueAfter is how long after its start an attempt is taken for dead, with
	// its process, and the job runs again. It must be longer than JobTimeout.
	RescueAfter time.Duration `env:"WORKERS_RESCUE_AFTER" envDefault:"90s"`
	// MaxAttempts is how often a job is tried before it is discarded.
	MaxAttempts int `env:"WORKERS_MAX_ATTEMPTS" envDefault:"10"`
	// MaxDepth is how many jobs of one kind may wait before POST /jobs answers
	// 503. It is compared with a count that is at most a second old.
	MaxDepth int `env:"WORKERS_MAX_DEPTH" envDefault:"10000"`
	// MaxDelay is how far from now run_at of POST /jobs may be.
	MaxDelay time.Duration `env:"WORKERS_MAX_DELAY" envDefault:"8784h"`
	// FetchCooldown is the shortest time between two fetches of jobs of one
	// kind: with Concurrency it bounds the throughput of short jobs.
	FetchCooldown time.Duration `env:"WORKERS_FETCH_COOLDOWN" envDefault:"20ms"`
	// PollInterval is the longest time between two fetches, for a job whose
	// notification was lost.
	PollInterval time.Duration `env:"WORKERS_POLL_INTERVAL" envDefault:"1s"`
	// DrainTimeout is how long running jobs may go on once the service stops.
	// Then they are cancelled, and run again elsewhere. It is at most
	// SHUTDOWN_TIMEOUT.
	DrainTimeout time.Duration `env:"WORKERS_DRAIN_TIMEOUT" envDefault:"10s"`
	// EnqueueTimeout is how long POST /jobs waits for the database, and how long
	// the pool does at the end, when its last job has returned.
	EnqueueTimeout time.Duration `env:"WORKERS_ENQUEUE_TIMEOUT" envDefault:"5s"`
	// KeyTTL is how long an Idempotency-Key is remembered.
	KeyTTL time.Duration `env:"WORKERS_KEY_TTL" envDefault:"24h"`
}

// maxDelay is a hundred years, which every database and format can tell.
const maxDelay = 100 * 366 * 24 * time.Hour

// Validate reports a value that can't be meant.
func (c Config) Validate() error {
	const most = 366 * 24 * time.Hour
	errs := []error{
		setting.Between("WORKERS_CONCURRENCY", c.Concurrency, 1, river.QueueNumWorkersMax),
		setting.Between("WORKERS_MAX_ATTEMPTS", c.MaxAttempts, 1, math.MaxInt16), // as River stores it
		setting.AtLeast("WORKERS_MAX_DEPTH", c.MaxDepth, 1),
		setting.Between("WORKERS_MAX_DELAY", c.MaxDelay, time.Millisecond, maxDelay),
		setting.Between("WORKERS_JOB_TIMEOUT", c.JobTimeout, time.Millisecond, most),
		setting.Between("WORKERS_FETCH_COOLDOWN", c.FetchCooldown, time.Millisecond, time.Hour),
		setting.Between("WORKERS_POLL_INTERVAL", c.PollInterval, time.Millisecond, time.Hour),
		setting.Between("WORKERS_DRAIN_TIMEOUT", c.DrainTimeout, time.Millisecond, 24*time.Hour),
		setting.Between("WORKERS_ENQUEUE_TIMEOUT", c.EnqueueTimeout, time.Millisecond, 24*time.Hour),
		setting.Between("WORKERS_KEY_TTL", c.KeyTTL, time.Millisecond, maxDelay),
		setting.Check(c.RescueAfter > c.JobTimeout, "WORKERS_RESCUE_AFTER=%s: must be longer than WORKERS_JOB_TIMEOUT=%s, or jobs run twice at once", c.RescueAfter, c.JobTimeout),
		setting.Check(c.RescueAfter <= 2*most, "WORKERS_RESCUE_AFTER=%s: must be at most %s", c.RescueAfter, 2*most),
		setting.Within("WORKERS_FETCH_COOLDOWN", c.FetchCooldown, "WORKERS_POLL_INTERVAL", c.PollInterval, "the longest time between two fetches"),
	}
	for kind, n := range c.Limits {
		errs = append(errs, setting.Check(n >= 1 && n <= river.QueueNumWorkersMax,
			"WORKERS_LIMITS=%s:%d: must be from 1 to %d", kind, n, river.QueueNumWorkersMax))
	}
	return errors.Join(errs...)
}

// Retention is how long jobs are kept after their end, by how they ended; -1 is
// for ever.
type Retention struct {
	Completed, Cancelled, Discarded time.Duration
}

// A Pool works jobs. Register everything before [Pool.Start]; the registering
// functions are not safe for concurrent use, all else is, after Start.
//
// Each kind has a queue of its own, which bears its name, so that a flood of one
// kind does not hold up the others.
type Pool struct {
	db      *database.Pool
	config  Config
	log     *slog.Logger
	metrics *metrics
	observe *observer

	workers     *river.Workers
	kinds       []string
	accepts     map[string]acceptor // by kind
	middleware  []rivertype.Middleware
	periodic    []*river.PeriodicJob
	retryPolicy river.ClientRetryPolicy
	retention   Retention
	errs        []error // of the registrations, told by Start

	client  *river.Client[database.Tx]
	depth   depth
	cancel  context.CancelFunc
	sampler sync.WaitGroup
}

// New returns a pool that has no kinds of jobs yet. The database's schema must
// be there when it starts, see [Migrate].
func New(db *database.Pool, config Config, log *slog.Logger, registry prometheus.Registerer, tracing trace.TracerProvider) (*Pool, error) {
	p := &Pool{
		db:      db,
		config:  config,
		log:     log,
		workers: river.NewWorkers(),
		accepts: make(map[string]acceptor),
		retention: Retention{
			Completed: 24 * time.Hour,
			Cancelled: 24 * time.Hour,
			Discarded: 7 * 24 * time.Hour,
		},
	}
	p.metrics = newMetrics(&p.depth)
	if err := p.metrics.register(registry); err != nil {
		return nil, err
	}
	p.observe = newObserver(p.metrics, tracing)
	p.addCleanup()
	return p, nil
}

// Add registers the worker for a kind of jobs.
func Add[T river.JobArgs](p *Pool, worker river.Worker[T]) {
	var args T
	if err := river.AddWorkerSafely(p.workers, worker); err != nil {
		p.errs = append(p.errs, err)
		return
	}
	p.kinds = append(p.kinds, args.Kind())
}

// Use registers middleware around the work of every job. What is registered
// first is entered first.
func (p *Pool) Use(middleware ...rivertype.WorkerMiddleware) {
	for _, m := range middleware {
		p.middleware = append(p.middleware, m)
	}
}

// SetRetryPolicy sets when a job that failed runs again, for workers that don't
// say themselves. The default is River's: attempt⁴ seconds, with 10 % jitter.
func (p *Pool) SetRetryPolicy(policy river.ClientRetryPolicy) {
	p.retryPolicy = policy
}

// SetRetention sets how long jobs are kept that completed or were cancelled.
func (p *Pool) SetRetention(completed, cancelled time.Duration) {
	p.retention.Completed, p.retention.Cancelled = completed, cancelled
}

// SetDiscardedRetention sets how long jobs are kept that failed for good.
func (p *Pool) SetDiscardedRetention(d time.Duration) {
	p.retention.Discarded = d
}

// Retention returns how long jobs are kept.
func (p *Pool) Retention() Retention { return p.retention }

// Kinds returns the registered kinds of jobs.
func (p *Pool) Kinds() []string { return p.kinds }

// AddPeriodic registers a job that is enqueued whenever the schedule says so,
// by one of the instances that share the database. The id names the schedule.
// Times at which no instance ran are not made up for.
func (p *Pool) AddPeriodic(id string, schedule river.PeriodicSchedule, job func() (river.JobArgs, *river.InsertOpts)) {
	p.periodic = append(p.periodic, river.NewPeriodicJob(schedule, job, &river.PeriodicJobOpts{ID: id}))
}

// Start starts to work jobs, and returns at once. It takes from ctx its values
// only: the pool works until [Pool.Stop].
func (p *Pool) Start(ctx context.Context) error {
	client, err := p.newClient()
	if err != nil {
		return err
	}
	if err := verify(ctx, p.db, p.log); err != nil {
		return err
	}
	if err := p.sample(ctx); err != nil {
		return err
	}
	p.metrics.expect(p.kinds)
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := client.Start(ctx); err != nil {
		p.cancel()
		return fmt.Errorf("start the workers: %w", err)
	}
	p.client = client
	p.sampler.Go(func() { p.sampleUntilDone(ctx) })
	return nil
}

func (p *Pool) newClient() (*river.Client[database.Tx], error) {
	queues := make(map[string]river.QueueConfig, len(p.kinds))
	for _, kind := range p.kinds {
		queues[kind] = river.QueueConfig{MaxWorkers: p.config.Concurrency}
	}
	for kind, n := range p.config.Limits {
		if _, ok := queues[kind]; !ok {
			p.errs = append(p.errs, fmt.Errorf("WORKERS_LIMITS=%s:%d: there is no such kind of jobs; the kinds are %q", kind, n, p.kinds))
		}
		queues[kind] = river.QueueConfig{MaxWorkers: n}
	}
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	client, err := river.NewClient(driver(p.db), &river.Config{
		CancelledJobRetentionPeriod: p.retention.Cancelled,
		CompletedJobRetentionPeriod: p.retention.Completed,
		DiscardedJobRetentionPeriod: p.retention.Discarded,
		FetchCooldown:               p.config.FetchCooldown,
		FetchPollInterval:           p.config.PollInterval,
		Hooks:                       []rivertype.Hook{river.HookInsertBeginFunc(toQueueOfItsKind)},
		JobTimeout:                  p.config.JobTimeout,
		Logger:                      p.log,
		MaxAttempts:                 p.config.MaxAttempts,
		Middleware:                  append([]rivertype.Middleware{p.observe}, p.middleware...),
		PeriodicJobs:                p.periodic,
		Queues:                      queues,
		RescueStuckJobsAfter:        p.config.RescueAfter,
		RetryPolicy:                 p.retryPolicy,
		SoftStopTimeout:             p.config.DrainTimeout,
		Workers:                     p.workers,
	})
	if err != nil {
		return nil, fmt.Errorf("workers: %w", err)
	}
	return client, nil
}

func toQueueOfItsKind(_ context.Context, params *rivertype.JobInsertParams) error {
	if params.Queue == river.QueueDefault {
		params.Queue = params.Kind
	}
	return nil
}

// Drain begins to stop: no job is started any more, those that run go on. It
// does not wait.
func (p *Pool) Drain() {
	if p.client == nil {
		return
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.client.Stop(done) // begins to stop, and says that it did not wait
}

// Stop waits until the running jobs have ended, cancels them when the drain
// timeout is over, and returns when all have returned or ctx is done. It does not wait longer than
// EnqueueTimeout for a database that does not answer. A job that
// was cancelled so runs again, elsewhere or after the next start, and the
// attempt is not counted. Stop does nothing on a pool that was not started.
func (p *Pool) Stop(ctx context.Context) error {
	if p.client == nil {
		return nil
	}
	p.cancel()
	p.sampler.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { p.cutOff(ctx, cancel) })
	err := p.client.Stop(ctx)
	cancel(nil)
	watch.Wait()
	if errors.Is(context.Cause(ctx), errSilent) {
		p.log.WarnContext(ctx, "workers: stopped without the database, which does not answer; another instance finds out by itself")
		return nil
	}
	if err != nil {
		return fmt.Errorf("jobs still run, and will run again elsewhere: %w", err)
	}
	return nil
}

var errSilent = errors.New("the database does not answer")

// cutOff calls cancel when no job runs and the engine still has not stopped for
// as long as the database may take: it would go on trying to tell it.
func (p *Pool) cutOff(ctx context.Context, cancel context.CancelCauseFunc) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if p.observe.working.Load() > 0 {
				last = now
			}
			if now.Sub(last) > p.config.EnqueueTimeout {
				cancel(errSilent)
				return
			}
		}
	}
}

// Client returns River's client, for what a Pool has no method for. It is nil
// before Start.
func (p *Pool) Client() *river.Client[database.Tx] { return p.client }

var errNotStarted = errors.New("the workers have not been started")

// Enqueue adds a job. Options may be nil.
func (p *Pool) Enqueue(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error) {
	if p.client == nil {
		return nil, errNotStarted
	}
	result, err := p.client.Insert(ctx, args, opts)
	if err != nil {
		return nil, fmt.Errorf("enqueue %s: %w", args.Kind(), err)
	}
	return result, nil
}

// EnqueueTx adds a job within tx: it is there when tx commits, and never was
// when tx rolls back. Options may be nil.
func (p *Pool) EnqueueTx(ctx context.Context, tx database.Tx, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error) {
	if p.client == nil {
		return nil, errNotStarted
	}
	result, err := p.client.InsertTx(ctx, tx, args, opts)
	if err != nil {
		return nil, fmt.Errorf("enqueue %s: %w", args.Kind(), err)
	}
	return result, nil
}

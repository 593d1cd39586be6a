package workers_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/goleak"

	"example.com/orders/internal/database"
	"example.com/orders/internal/database/databasetest"
	"example.com/orders/internal/workers"
	"example.com/orders/internal/workers/workerstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type noteArgs struct {
	Text string `json:"text"`
}

func (noteArgs) Kind() string { return "note" }

func TestAnEnqueuedJobRuns(t *testing.T) {
	t.Parallel()
	p := workerstest.New(t, workerstest.Database(t), workerstest.Config())
	done := make(chan string, 1)
	workers.Add(p, river.WorkFunc(func(_ context.Context, job *river.Job[noteArgs]) error {
		done <- job.Args.Text
		return nil
	}))
	workerstest.Start(t, p)
	if _, err := p.Enqueue(t.Context(), noteArgs{"hello"}, nil); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got != "hello" {
		t.Errorf("got %q", got)
	}
}

func TestEnqueueRollsBackWithItsTransaction(t *testing.T) {
	t.Parallel()
	db := workerstest.Database(t)
	p := workerstest.New(t, db, workerstest.Config())
	done := make(chan string, 2)
	workers.Add(p, river.WorkFunc(func(_ context.Context, job *river.Job[noteArgs]) error {
		done <- job.Args.Text
		return nil
	}))
	workerstest.Start(t, p)
	broken := errors.New("broken")
	var lost *rivertype.JobInsertResult
	err := database.InTx(t.Context(), db, func(tx database.Tx) (err error) {
		lost, err = p.EnqueueTx(t.Context(), tx, noteArgs{"rolled back"}, nil)
		return errors.Join(err, broken)
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if _, err := p.Client().JobGet(t.Context(), lost.Job.ID); !errors.Is(err, river.ErrNotFound) {
		t.Errorf("the job of a transaction that rolled back: %v, want ErrNotFound", err)
	}
	err = database.InTx(t.Context(), db, func(tx database.Tx) error {
		_, err := p.EnqueueTx(t.Context(), tx, noteArgs{"committed"}, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-done; got != "committed" {
		t.Errorf("%q ran", got)
	}
}

// Each kind is bounded by itself: a flood of one holds nobody else up.
func TestConcurrencyIsBoundedByKind(t *testing.T) {
	t.Parallel()
	config := workerstest.Config()
	config.Limits = map[string]int{"note": 2}
	p := workerstest.New(t, workerstest.Database(t), config)
	started, release := make(chan struct{}), make(chan struct{})
	var running, most atomic.Int32
	workers.Add(p, river.WorkFunc(func(ctx context.Context, _ *river.Job[noteArgs]) error {
		now := running.Add(1)
		defer running.Add(-1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		select {
		case started <- struct{}{}:
		case <-ctx.Done():
		}
		<-release
		return nil
	}))
	quick := make(chan struct{}, 1)
	workers.Add(p, river.WorkFunc(func(context.Context, *river.Job[quickArgs]) error {
		quick <- struct{}{}
		return nil
	}))
	workerstest.Start(t, p)
	const jobs = 12
	for range jobs {
		if _, err := p.Enqueue(t.Context(), noteArgs{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	<-started
	<-started // the limit is reached
	if _, err := p.Enqueue(t.Context(), quickArgs{}, nil); err != nil {
		t.Fatal(err)
	}
	<-quick
	close(release)
	for range jobs - 2 {
		<-started
	}
	if got := most.Load(); got != 2 {
		t.Errorf("%d ran at once, want 2", got)
	}
}

type quickArgs struct{}

func (quickArgs) Kind() string { return "quick" }

func TestDrainLetsRunningJobsFinish(t *testing.T) {
	t.Parallel()
	db := workerstest.Database(t)
	p := workerstest.New(t, db, workerstest.Config())
	started, release := make(chan struct{}), make(chan struct{})
	workers.Add(p, river.WorkFunc(func(context.Context, *river.Job[noteArgs]) error {
		close(started)
		<-release
		return nil
	}))
	workerstest.Start(t, p)
	running, err := p.Enqueue(t.Context(), noteArgs{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-started
	p.Drain()
	// What is enqueued from now on stays for the next start.
	waiting, err := p.Enqueue(t.Context(), noteArgs{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error)
	go func() { stopped <- p.Stop(context.Background()) }()
	close(release)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	mustHaveState(t, p, running, rivertype.JobStateCompleted)
	mustHaveState(t, p, waiting, rivertype.JobStateAvailable)
}

func TestAJobThatOutlivesTheDrainRunsAgain(t *testing.T) {
	t.Parallel()
	db := workerstest.Database(t)
	config := workerstest.Config()
	config.DrainTimeout = 50 * time.Millisecond
	p := workerstest.New(t, db, config)
	started := make(chan struct{})
	workers.Add(p, river.WorkFunc(func(ctx context.Context, _ *river.Job[noteArgs]) error {
		close(started)
		<-ctx.Done()
		return ctx.Err()
	}))
	workerstest.Start(t, p)
	job, err := p.Enqueue(t.Context(), noteArgs{}, &river.InsertOpts{MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	<-started
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustHaveState(t, p, job, rivertype.JobStateAvailable)

	next := workerstest.New(t, db, config)
	attempts := make(chan int, 1)
	workers.Add(next, river.WorkFunc(func(_ context.Context, job *river.Job[noteArgs]) error {
		attempts <- job.Attempt
		return nil
	}))
	workerstest.Start(t, next)
	if got := <-attempts; got != 1 {
		t.Errorf("attempt %d, want 1: an interrupted attempt does not count", got)
	}
}

func mustHaveState(t *testing.T, p *workers.Pool, job *rivertype.JobInsertResult, want rivertype.JobState) {
	t.Helper()
	row, err := p.Client().JobGet(t.Context(), job.Job.ID)
	if err != nil {
		t.Fatal(err)
	}
	if row.State != want {
		t.Errorf("job %d is %s, want %s; errors: %v", row.ID, row.State, want, row.Errors)
	}
}

func TestAPeriodicJobRuns(t *testing.T) {
	t.Parallel()
	p := workerstest.New(t, workerstest.Database(t), workerstest.Config())
	ran := make(chan struct{})
	workers.Add(p, river.WorkFunc(func(ctx context.Context, _ *river.Job[noteArgs]) error {
		select {
		case ran <- struct{}{}:
		case <-ctx.Done():
		}
		return nil
	}))
	p.AddPeriodic("each-second", workers.Every(time.Second), func() (river.JobArgs, *river.InsertOpts) {
		return noteArgs{}, nil
	})
	workerstest.Start(t, p)
	<-ran
	<-ran
	p.Drain()
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	parse := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for name, tt := range map[string]struct {
		schedule  river.PeriodicSchedule
		now, want string
	}{
		"on the hour":              {workers.Every(time.Hour), "2026-03-01T10:59:59+01:00", "2026-03-01T10:00:00Z"},
		"at the very hour":         {workers.Every(time.Hour), "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"},
		"later today":              {workers.Daily(2, 30, time.UTC), "2026-03-01T01:00:00Z", "2026-03-01T02:30:00Z"},
		"tomorrow":                 {workers.Daily(2, 30, time.UTC), "2026-02-28T02:30:00Z", "2026-03-01T02:30:00Z"},
		"an hour that is skipped":  {workers.Daily(2, 30, berlin), "2026-03-29T00:00:00+01:00", "2026-03-29T01:30:00Z"},
		"an hour that comes twice": {workers.Daily(2, 30, berlin), "2026-10-25T02:30:00+01:00", "2026-10-26T01:30:00Z"},
	} {
		if got := tt.schedule.Next(parse(tt.now)); !got.Equal(parse(tt.want)) {
			t.Errorf("%s: after %s comes %s, want %s", name, tt.now, got.UTC(), tt.want)
		}
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		setup func(*workers.Pool)
		limit string
		want  string
	}{
		"two workers of one kind": {func(p *workers.Pool) {
			for range 2 {
				workers.Add(p, river.WorkFunc(func(context.Context, *river.Job[noteArgs]) error { return nil }))
			}
		}, "note", "already registered"},
		"a limit of no kind": {func(*workers.Pool) {}, "nothing", "WORKERS_LIMITS=nothing:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := workerstest.Config()
			config.Limits = map[string]int{tt.limit: 1}
			p := workerstest.New(t, workerstest.Database(t), config)
			tt.setup(p)
			if err := p.Start(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Start: %v, want %q", err, tt.want)
			}
			if _, err := p.Enqueue(t.Context(), noteArgs{}, nil); err == nil {
				t.Error("a pool that did not start took a job")
			}
			p.Drain()
			if err := p.Stop(t.Context()); err != nil {
				t.Errorf("Stop: %v", err)
			}
		})
	}
}

func TestStartWantsTheTables(t *testing.T) {
	t.Parallel()
	p := workerstest.New(t, databasetest.Open(t), workerstest.Config())
	if err := p.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "DATABASE_MIGRATE=true") {
		t.Errorf("Start: %v, want the variable named", err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for variable, change := range map[string]func(*workers.Config){
		"WORKERS_CONCURRENCY":     func(c *workers.Config) { c.Concurrency = 0 },
		"WORKERS_LIMITS":          func(c *workers.Config) { c.Limits = map[string]int{"note": 0} },
		"WORKERS_JOB_TIMEOUT":     func(c *workers.Config) { c.JobTimeout = 0 },
		"WORKERS_RESCUE_AFTER":    func(c *workers.Config) { c.RescueAfter = c.JobTimeout },
		"WORKERS_MAX_ATTEMPTS":    func(c *workers.Config) { c.MaxAttempts = 0 },
		"WORKERS_MAX_DEPTH":       func(c *workers.Config) { c.MaxDepth = -1 },
		"WORKERS_FETCH_COOLDOWN":  func(c *workers.Config) { c.FetchCooldown = 0 },
		"WORKERS_POLL_INTERVAL":   func(c *workers.Config) { c.PollInterval = time.Millisecond },
		"WORKERS_DRAIN_TIMEOUT":   func(c *workers.Config) { c.DrainTimeout = -1 },
		"WORKERS_ENQUEUE_TIMEOUT": func(c *workers.Config) { c.EnqueueTimeout = 0 },
		"WORKERS_KEY_TTL":         func(c *workers.Config) { c.KeyTTL = 0 },
		"WORKERS_MAX_DELAY":       func(c *workers.Config) { c.MaxDelay = 0 },
		// More than River takes.
		"WORKERS_CONCURRENCY=10001":   func(c *workers.Config) { c.Concurrency = 10_001 },
		"WORKERS_LIMITS=note:10001":   func(c *workers.Config) { c.Limits = map[string]int{"note": 10_001} },
		"WORKERS_MAX_ATTEMPTS=32768":  func(c *workers.Config) { c.MaxAttempts = 32_768 },
		"WORKERS_MAX_DELAY=2562047h0": func(c *workers.Config) { c.MaxDelay = 2_562_047 * time.Hour },
	} {
		config := workerstest.Config()
		change(&config)
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%s: %v, want the variable named", variable, err)
		}
	}
}

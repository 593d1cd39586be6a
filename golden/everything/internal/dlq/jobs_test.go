package dlq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"example.com/orders/internal/waittest"
	"example.com/orders/internal/workers"
	"example.com/orders/internal/workers/workerstest"
)

// An order is a job of the tests: it fails while its product is not known.
type order struct {
	Product string `json:"product"`
}

func (order) Kind() string { return "order" }

// A shipment is a job of another kind.
type shipment struct {
	Order int `json:"order" river:"unique"`
}

func (shipment) Kind() string { return "shipment" }

// A shop works both.
type shop struct {
	pool  *workers.Pool
	jobs  *Jobs
	queue *Queue
	known sync.Map // products
	runs  sync.Map // *atomic.Int64 by job id
	fixed atomic.Bool
}

type atOnce struct{}

func (atOnce) NextRetry(*rivertype.JobRow) time.Time { return time.Now().Add(time.Millisecond) }

// openShop starts a pool whose orders panic for "bomb", fail for products that
// are not known, and whose shipments fail until fixed is set.
func openShop(t *testing.T, config Config) *shop {
	t.Helper()
	db := workerstest.Database(t)
	s := &shop{pool: workerstest.New(t, db, workerstest.Config())}
	s.pool.SetRetryPolicy(atOnce{})
	workers.Add(s.pool, river.WorkFunc(func(_ context.Context, job *river.Job[order]) error {
		s.run(job.ID)
		if _, ok := s.known.Load(job.Args.Product); ok {
			return nil
		}
		if job.Args.Product == "bomb" {
			panic("boom")
		}
		return fmt.Errorf("there is no %s", job.Args.Product)
	}))
	workers.Add(s.pool, river.WorkFunc(func(_ context.Context, job *river.Job[shipment]) error {
		s.run(job.ID)
		if s.fixed.Load() {
			return nil
		}
		return errors.New("no carrier")
	}))
	s.jobs = NewJobs(db, s.pool.Client)
	s.queue = newQueue(t, config, s.jobs)
	workerstest.Start(t, s.pool)
	ctx, cancel := context.WithCancel(context.Background())
	var runners sync.WaitGroup
	runners.Go(func() { _ = s.queue.Run(ctx) })           // never fails
	runners.Go(func() { _ = s.jobs.Watch(ctx, s.queue) }) // never fails
	t.Cleanup(func() { cancel(); runners.Wait() })
	return s
}

func (s *shop) run(id int64) {
	n, _ := s.runs.LoadOrStore(id, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

// ran returns how often a job was worked.
func (s *shop) ran(id int64) int64 {
	n, ok := s.runs.Load(id)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

func (s *shop) enqueue(t *testing.T, args river.JobArgs) int64 {
	t.Helper()
	result, err := s.pool.Enqueue(t.Context(), args, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result.Job.ID
}

func (s *shop) waitFor(t *testing.T, id int64, state rivertype.JobState) *rivertype.JobRow {
	t.Helper()
	var job *rivertype.JobRow
	waittest.Until(t, func() (err error) {
		job, err = s.pool.Client().JobGet(t.Context(), id)
		if err == nil && job.State != state {
			err = fmt.Errorf("job %d is %s, want %s", id, job.State, state)
		}
		return err
	})
	return job
}

// dead enqueues a job that fails, and waits until it is dead.
func (s *shop) dead(t *testing.T, args river.JobArgs) int64 {
	t.Helper()
	id := s.enqueue(t, args)
	s.waitFor(t, id, rivertype.JobStateDiscarded)
	return id
}

func TestPoisonEndsHereAndTheRestFlowsOn(t *testing.T) {
	t.Parallel()
	s := openShop(t, defaults(t))
	s.known.Store("tea", true)
	poison := s.enqueue(t, order{"unobtainium"})
	bomb := s.enqueue(t, order{"bomb"})
	var good []int64
	for range 20 {
		good = append(good, s.enqueue(t, order{"tea"}))
	}
	for _, id := range good {
		s.waitFor(t, id, rivertype.JobStateCompleted)
	}
	s.waitFor(t, poison, rivertype.JobStateDiscarded)
	s.waitFor(t, bomb, rivertype.JobStateDiscarded)

	page, err := s.queue.List(t.Context(), "", "", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Letters) != 2 || page.Next != "" {
		t.Fatalf("%d letters, want the 2 that are poison: %+v", len(page.Letters), page)
	}
	letter, err := s.queue.Get(t.Context(), letterID("jobs", poison))
	if err != nil {
		t.Fatal(err)
	}
	if letter.Error != "there is no unobtainium" || letter.Attempts != 3 || len(letter.Failures) != 3 ||
		letter.Kind != "order" || letter.DiedAt.IsZero() || letter.CreatedAt.After(letter.DiedAt) {
		t.Errorf("the letter does not say what happened: %+v", letter)
	}
	if diff := cmp.Diff(order{"unobtainium"}, decode[order](t, letter.Payload)); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	letter, err = s.queue.Get(t.Context(), letterID("jobs", bomb))
	if err != nil {
		t.Fatal(err)
	}
	if letter.Error != "boom" || !strings.Contains(letter.Failures[2].Stack, "openShop") {
		t.Errorf("the letter does not say where it panicked: %+v", letter)
	}
	waittest.Until(t, func() error {
		if n := testutil.ToFloat64(s.queue.metrics.dead.WithLabelValues("jobs", "order")); n != 2 {
			return fmt.Errorf("dlq_dead_total is %g, want 2", n)
		}
		return testutil.CollectAndCompare(s.queue.metrics.counts, strings.NewReader(`
			# HELP dlq_messages Dead letters that wait for a decision.
			# TYPE dlq_messages gauge
			dlq_messages{source="jobs"} 2
		`), "dlq_messages")
	})
	for _, letter := range page.Letters {
		if err := s.queue.Discard(t.Context(), letter.ID); err != nil {
			t.Error(err)
		}
	}
	waittest.Until(t, func() error {
		return testutil.CollectAndCompare(s.queue.metrics.counts, strings.NewReader(`
			# HELP dlq_messages Dead letters that wait for a decision.
			# TYPE dlq_messages gauge
			dlq_messages{source="jobs"} 0
			# HELP dlq_oldest_age_seconds Time since the oldest dead letter died, 0 where there is none.
			# TYPE dlq_oldest_age_seconds gauge
			dlq_oldest_age_seconds{source="jobs"} 0
		`))
	})
}

func decode[T any](t *testing.T, data []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Many operators press the button at once: one of them requeues the job, it
// runs once more, and that is all, also when it has succeeded by the time that
// the last one presses.
func TestRequeueAfterAFixSucceedsOnce(t *testing.T) {
	t.Parallel()
	s := openShop(t, defaults(t))
	id := s.dead(t, order{"coffee"})
	s.known.Store("coffee", true)
	var succeeded, refused atomic.Int64
	var operators sync.WaitGroup
	for range 20 {
		operators.Go(func() {
			switch err := s.queue.Requeue(t.Context(), letterID("jobs", id)); {
			case err == nil:
				succeeded.Add(1)
			case errors.Is(err, ErrNotDead):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	operators.Wait()
	if succeeded.Load() != 1 || refused.Load() != 19 {
		t.Errorf("%d requeues succeeded and %d were refused, want 1 and 19", succeeded.Load(), refused.Load())
	}
	s.waitFor(t, id, rivertype.JobStateCompleted)
	if err := s.queue.Requeue(t.Context(), letterID("jobs", id)); !errors.Is(err, ErrNotDead) {
		t.Errorf("requeue of a job that has succeeded: %v", err)
	}
	if err := s.queue.Discard(t.Context(), letterID("jobs", id)); !errors.Is(err, ErrNotDead) {
		t.Errorf("discard of a job that has succeeded: %v", err)
	}
	if n := s.ran(id); n != 3+1 {
		t.Errorf("the job ran %d times, want its 3 attempts and 1 after the requeue", n)
	}
	if n := testutil.ToFloat64(s.queue.metrics.requeued.WithLabelValues("jobs")); n != 1 {
		t.Errorf("dlq_requeued_total is %g, want 1", n)
	}
}

// A requeue without a fix: one attempt more, and it is dead again, once.
func TestRequeueWithoutAFixDiesAgain(t *testing.T) {
	t.Parallel()
	s := openShop(t, defaults(t))
	id := s.dead(t, order{"coffee"})
	if err := s.queue.Requeue(t.Context(), letterID("jobs", id)); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, func() error {
		letter, err := s.queue.Get(t.Context(), letterID("jobs", id))
		if err == nil && len(letter.Failures) != 4 {
			err = fmt.Errorf("%d failures, want 4", len(letter.Failures))
		}
		return err
	})
}

func TestDiscardOrRequeueButNotBoth(t *testing.T) {
	t.Parallel()
	s := openShop(t, defaults(t))
	s.known.Store("tea", true)
	for range 4 {
		id := s.dead(t, order{"coffee"})
		var won atomic.Int64
		var operators sync.WaitGroup
		for _, act := range []func(context.Context, string) error{s.queue.Requeue, s.queue.Discard} {
			operators.Go(func() {
				err := act(t.Context(), letterID("jobs", id))
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, ErrNotDead) && !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
			})
		}
		operators.Wait()
		// A job that was requeued first may be dead again when the discard comes.
		if n := won.Load(); n < 1 || n == 2 && s.ran(id) != 4 {
			t.Errorf("%d of requeue and discard succeeded, and the job ran %d times", n, s.ran(id))
		}
	}
}

func TestPagesOfJobs(t *testing.T) {
	t.Parallel()
	s := openShop(t, defaults(t))
	want := make(map[string]string)
	for i := range 7 {
		want[letterID("jobs", s.enqueue(t, order{fmt.Sprint("p", i)}))] = "order"
	}
	want[letterID("jobs", s.enqueue(t, shipment{1}))] = "shipment"
	waittest.Until(t, func() error {
		n, _, err := s.jobs.Count(t.Context())
		if err == nil && n != len(want) {
			err = fmt.Errorf("%d are dead, want %d", n, len(want))
		}
		return err
	})
	got := make(map[string]string)
	last := time.Now().Add(time.Hour)
	for cursor := ""; ; {
		page, err := s.queue.List(t.Context(), "jobs", "", cursor, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, letter := range page.Letters {
			if _, twice := got[letter.ID]; twice || letter.DiedAt.After(last) {
				t.Errorf("%s comes twice, or is not older than the one before", letter.ID)
			}
			got[letter.ID], last = letter.Kind, letter.DiedAt
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("all pages (-want +got):\n%s", diff)
	}
	page, err := s.queue.List(t.Context(), "", "shipment", "", 3)
	if err != nil || len(page.Letters) != 1 || page.Letters[0].Kind != "shipment" {
		t.Errorf("of one kind: %+v, %v", page, err)
	}
	oldest, err := s.jobs.List(t.Context(), Query{Limit: 100, OldestFirst: true})
	if err != nil || len(oldest) != len(want) || !oldest[0].DiedAt.Before(oldest[7].DiedAt) {
		t.Errorf("the oldest first: %+v, %v", oldest, err)
	}
	_, since, err := s.jobs.Count(t.Context())
	if d := since.Sub(oldest[0].DiedAt); err != nil || d.Abs() > time.Second {
		t.Errorf("the oldest died at %s by the count, and at %s by the list, %v", since, oldest[0].DiedAt, err)
	}
}

// A thousand letters come back at the rate, the oldest first, and only those
// that were asked for.
func TestRequeueManyKeepsItsRate(t *testing.T) {
	t.Parallel()
	config := defaults(t)
	config.RequeueBurst, config.RequeueRate, config.PageSize = 4, 0.001, 3
	s := openShop(t, config)
	other := s.dead(t, shipment{1})
	var dead []int64
	for i := range 6 {
		dead = append(dead, s.dead(t, order{fmt.Sprint("p", i)}))
	}
	for i := range 6 {
		s.known.Store(fmt.Sprint("p", i), true)
	}
	done, err := s.queue.RequeueMany(t.Context(), "", "order", 2)
	if err != nil || done.Requeued != 2 || !done.More {
		t.Errorf("with a limit of 2: %+v, %v", done, err)
	}
	done, err = s.queue.RequeueMany(t.Context(), "jobs", "order", 100)
	if err != nil || done.Requeued != 2 || !done.More {
		t.Errorf("with 2 left of the burst of 4: %+v, %v", done, err)
	}
	for _, id := range dead[:4] {
		s.waitFor(t, id, rivertype.JobStateCompleted)
	}
	var tooFast *TooFastError
	if _, err := s.queue.RequeueMany(t.Context(), "", "", 1); !errors.As(err, &tooFast) || tooFast.After < time.Minute {
		t.Errorf("over the rate: %v, want to be told when to come back", err)
	}
	if err := s.queue.Requeue(t.Context(), letterID("jobs", other)); !errors.As(err, &tooFast) {
		t.Errorf("one over the rate: %v", err)
	}
	for _, id := range append(dead[4:], other) {
		s.waitFor(t, id, rivertype.JobStateDiscarded)
	}
}

// A letter whose work is queued again already is refused, and does not hold up
// those behind it.
func TestDuplicateIsRefused(t *testing.T) {
	t.Parallel()
	s := openShop(t, defaults(t))
	unique := &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}}
	first, err := s.pool.Enqueue(t.Context(), shipment{7}, unique)
	if err != nil {
		t.Fatal(err)
	}
	s.waitFor(t, first.Job.ID, rivertype.JobStateDiscarded)
	s.fixed.Store(true)
	again, err := s.pool.Enqueue(t.Context(), shipment{7}, unique)
	if err != nil || again.UniqueSkippedAsDuplicate {
		t.Fatalf("the same shipment again: %+v, %v", again, err)
	}
	s.waitFor(t, again.Job.ID, rivertype.JobStateCompleted)
	behind := s.dead(t, order{"coffee"})
	s.known.Store("coffee", true)

	if err := s.queue.Requeue(t.Context(), letterID("jobs", first.Job.ID)); !errors.Is(err, ErrDuplicate) {
		t.Errorf("one: %v, want to be refused", err)
	}
	done, err := s.queue.RequeueMany(t.Context(), "", "", 10)
	want := Requeued{Requeued: 1, Refused: map[string]string{letterID("jobs", first.Job.ID): ErrDuplicate.Error()}}
	if diff := cmp.Diff(want, done); diff != "" || err != nil {
		t.Errorf("many: %v (-want +got):\n%s", err, diff)
	}
	s.waitFor(t, behind, rivertype.JobStateCompleted)
	if n := s.ran(first.Job.ID); n != 3 {
		t.Errorf("the duplicate ran %d times, want its 3 attempts", n)
	}
}

// A log that holds up whoever tells of a dead letter, until it is let go.
type heldLog struct {
	slog.Handler
	entered, release chan struct{}
	once             *sync.Once
}

func (heldLog) Enabled(context.Context, slog.Level) bool { return true }

func (h heldLog) Handle(context.Context, slog.Record) error {
	h.once.Do(func() { close(h.entered); <-h.release })
	return nil
}

// Deaths that come faster than they can be told are not lost in silence.
func TestWatchCountsWhatItMayHaveMissed(t *testing.T) {
	t.Parallel()
	s := openShop(t, defaults(t))
	jobs := NewJobs(s.jobs.db, s.jobs.client)
	jobs.buffer = 1
	log := heldLog{slog.DiscardHandler, make(chan struct{}), make(chan struct{}), new(sync.Once)}
	queue, err := New(defaults(t), slog.New(log), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := queue.Add(jobs); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { _ = jobs.Watch(ctx, queue) }) // never fails
	release := sync.OnceFunc(func() { close(log.release) })
	defer func() { release(); cancel(); watching.Wait() }()

	waittest.Until(t, func() error { // it may not watch yet
		s.dead(t, order{"unobtainium"})
		select {
		case <-log.entered:
			return nil
		default:
			return errors.New("no death was told")
		}
	})
	mayLack := func() float64 { return testutil.ToFloat64(queue.metrics.overruns.WithLabelValues("jobs")) }
	if n := mayLack(); n != 0 {
		t.Errorf("%g overruns before there was one", n)
	}
	for range 3 {
		s.dead(t, order{"unobtainium"})
	}
	release()
	waittest.Until(t, func() error {
		if mayLack() == 0 {
			return errors.New("deaths were dropped, and it is not counted")
		}
		return nil
	})
}

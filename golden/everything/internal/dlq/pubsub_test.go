package dlq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.opentelemetry.io/otel/trace/noop"

	"example.com/orders/internal/database"
	"example.com/orders/internal/pubsub"
	"example.com/orders/internal/pubsub/pubsubtest"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/workers"
	"example.com/orders/internal/workers/workerstest"
)

// A till is a group of consumers of the tests: it takes what is in order.
type till struct {
	bus     *pubsub.Bus
	pool    *workers.Pool
	streams *Streams
	queue   *Queue
	db      *database.Pool
	fixed   atomic.Bool

	mu    sync.Mutex
	calls map[string]int // by the message's data
	taken map[string]int
}

type outOfOrder struct{ error }

func (outOfOrder) Permanent() bool { return true }

// openTill starts a group on the topics till.> whose handler fails for data that
// begin with "bad", panics for "panic", and fails for good for "never", until
// fixed is set. crash stands between it and its letters.
func openTill(t *testing.T, crash func(letters) letters) *till {
	t.Helper()
	busEnv := pubsubtest.Env(t)
	maps.Copy(busEnv, map[string]string{"PUBSUB_ACK_WAIT": "1s", "PUBSUB_MAX_DELIVER": "3"})
	busConfig, err := env.ParseAsWithOptions[pubsub.Config](env.Options{Environment: busEnv})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	bus, err := pubsub.Open(t.Context(), busConfig, log, prometheus.NewRegistry(), noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := bus.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	config := defaults(t)
	config.StreamAttempts, config.StreamBackoff = 3, 20*time.Millisecond
	db := workerstest.Database(t)
	s := &till{bus: bus, db: db, pool: workerstest.New(t, db, workerstest.Config()), calls: make(map[string]int), taken: make(map[string]int)}
	s.pool.SetRetryPolicy(atOnce{})
	s.queue = newQueue(t, config)
	s.streams = NewStreams(db, s.pool, s.queue, config, log)
	if err := s.queue.Add(s.streams); err != nil {
		t.Fatal(err)
	}
	if crash != nil {
		s.streams.store = crash(s.streams.store)
	}
	handle := s.streams.Handle("till", s.take)
	workerstest.Start(t, s.pool)
	ctx, cancel := context.WithCancel(context.Background())
	var runners sync.WaitGroup
	runners.Go(func() { _ = bus.ConsumeUntilHandled(ctx, "till", "till.>", handle) }) // ends with ctx
	t.Cleanup(func() { cancel(); runners.Wait() })
	return s
}

func (s *till) take(_ context.Context, d pubsub.Delivery) error {
	data := string(d.Data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[data]++
	switch {
	case s.fixed.Load():
	case data == "once" && s.calls[data] > 1:
	case strings.HasPrefix(data, "bad"), data == "once":
		return errors.New("out of paper")
	case strings.HasPrefix(data, "never"):
		return fmt.Errorf("till: %w", outOfOrder{errors.New("no such coin")})
	case strings.HasPrefix(data, "panic"):
		panic("the drawer is stuck")
	}
	s.taken[data]++
	return nil
}

func (s *till) counts(data string) (calls, taken int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[data], s.taken[data]
}

func (s *till) publish(t *testing.T, data ...string) {
	t.Helper()
	for _, d := range data {
		if _, err := s.bus.Publish(t.Context(), pubsub.Message{Topic: "till.one", Type: "coin", Data: []byte(d)}); err != nil {
			t.Fatal(err)
		}
	}
}

// waitForTaken waits until the data was taken.
func (s *till) waitForTaken(t *testing.T, data string) {
	t.Helper()
	waittest.Until(t, func() error {
		if _, taken := s.counts(data); taken == 0 {
			return fmt.Errorf("%s was not taken", data)
		}
		return nil
	})
}

// waitForDead waits until there are n letters, and returns them by their data.
func (s *till) waitForDead(t *testing.T, n int) map[string]Letter {
	t.Helper()
	var page Page
	waittest.Until(t, func() (err error) {
		page, err = s.queue.List(t.Context(), "streams", "", "", 100)
		if err == nil && len(page.Letters) != n {
			err = fmt.Errorf("%d are dead, want %d", len(page.Letters), n)
		}
		return err
	})
	dead := make(map[string]Letter)
	for _, letter := range page.Letters {
		letter, err := s.queue.Get(t.Context(), letter.ID)
		if err != nil {
			t.Fatal(err)
		}
		dead[string(letter.Payload)+string(letter.Raw)] = letter
	}
	return dead
}

func TestPoisonOfAStreamEndsHere(t *testing.T) {
	t.Parallel()
	s := openTill(t, nil)
	s.publish(t, "bad", "panic", "never", `{"good":1}`, "bad\x00\xff", "good")
	s.waitForTaken(t, "good")
	s.waitForTaken(t, `{"good":1}`)
	dead := s.waitForDead(t, 4)
	for data, want := range map[string]struct {
		attempts int
		cause    string
	}{
		"bad":         {3, "out of paper"},
		"bad\x00\xff": {3, "out of paper"},
		"panic":       {3, "panic: the drawer is stuck"},
		"never":       {1, "till: no such coin"},
	} {
		letter := dead[data]
		if calls, _ := s.counts(data); calls != want.attempts || letter.Attempts != want.attempts || letter.Error != want.cause ||
			letter.Kind != "till" || letter.Details["topic"] != "till.one" || letter.Details["type"] != "coin" {
			t.Errorf("%q: %d calls and the letter %+v, want %d and %q", data, calls, letter, want.attempts, want.cause)
		}
	}
	if stack := dead["panic"].Failures[0].Stack; !strings.Contains(stack, "take") {
		t.Errorf("the letter does not say where it panicked: %s", stack)
	}
}

// A requeue after the fix: of many at once one succeeds, the message is taken
// once, and no other reader of the topic sees it again.
func TestRequeueOfAMessageSucceedsOnce(t *testing.T) {
	t.Parallel()
	s := openTill(t, nil)
	s.publish(t, "bad")
	id := s.waitForDead(t, 1)["bad"].ID
	before, err := s.bus.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.fixed.Store(true)
	var succeeded atomic.Int64
	var operators sync.WaitGroup
	for range 20 {
		operators.Go(func() {
			switch err := s.queue.Requeue(t.Context(), id); {
			case err == nil:
				succeeded.Add(1)
			case !errors.Is(err, ErrNotDead):
				t.Error(err)
			}
		})
	}
	operators.Wait()
	s.waitForTaken(t, "bad")
	waittest.Until(t, func() error { // the record of it comes after
		if _, state, err := s.streams.store.get(t.Context(), 1); err != nil || state != stateDone {
			return fmt.Errorf("the letter is %s, %w", state, err)
		}
		return nil
	})
	if calls, taken := s.counts("bad"); succeeded.Load() != 1 || calls != 4 || taken != 1 {
		t.Errorf("%d requeues succeeded, %d calls, taken %d times; want 1, 4 and 1", succeeded.Load(), calls, taken)
	}
	for _, act := range []func(context.Context, string) error{s.queue.Requeue, s.queue.Discard} {
		if err := act(t.Context(), id); !errors.Is(err, ErrNotDead) {
			t.Errorf("after it was taken: %v", err)
		}
	}
	if after, err := s.bus.State(t.Context()); err != nil || after.Last != before.Last {
		t.Errorf("the stream had %d messages and has %d, %v", before.Last, after.Last, err)
	}
}

func TestRequeueOfAMessageWithoutAFix(t *testing.T) {
	t.Parallel()
	s := openTill(t, nil)
	s.publish(t, "panic")
	first := s.waitForDead(t, 1)["panic"]
	if err := s.queue.Requeue(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, func() error {
		again, err := s.queue.Get(t.Context(), first.ID)
		if err == nil && (again.Attempts != 4 || !again.DiedAt.After(first.DiedAt) || again.Failures[0].Stack == "") {
			err = fmt.Errorf("not dead again: %+v", again)
		}
		return err
	})
	dead, err := NewJobs(s.db, s.pool.Client).List(t.Context(), Query{Limit: 10})
	if err != nil || len(dead) != 0 {
		t.Errorf("the job of the letter is dead too: %+v, %v", dead, err)
	}
}

// A requeued letter whose job ends without the handler's verdict is dead again: at
// once, where the process is there to say so, or when the next sweep finds it.
func TestALetterOutlivesItsJob(t *testing.T) {
	t.Parallel()
	s := openTill(t, nil)
	s.publish(t, "bad")
	first := s.waitForDead(t, 1)["bad"]
	requeue := func(t *testing.T) {
		t.Helper()
		if err := s.streams.ifDead(t.Context(), first.Key, stateRequeued, func(database.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	wantState := func(t *testing.T, want string) streamLetter {
		t.Helper()
		l, state, err := s.streams.store.get(t.Context(), first.Key)
		if err != nil || state != want {
			t.Fatalf("the letter is %s, %v; want %s", state, err, want)
		}
		return l
	}
	redeliver := func(t *testing.T, cause error) error {
		t.Helper()
		ctx, cancel := context.WithCancelCause(t.Context())
		s.streams.handlers["till"] = func(ctx context.Context, _ pubsub.Delivery) error {
			cancel(cause)
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return s.streams.redeliver(ctx, &river.Job[redelivery]{Args: redelivery{first.Key}})
	}
	for _, cause := range []error{context.DeadlineExceeded, rivertype.ErrJobCancelledRemotely} {
		requeue(t)
		if err := redeliver(t, cause); err != nil {
			t.Errorf("%v: the job itself fails: %v", cause, err)
		}
		if l := wantState(t, stateDead); l.cause != cause.Error() {
			t.Errorf("dead of %q, want %q", l.cause, cause)
		}
	}
	requeue(t)
	if err := redeliver(t, context.Canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("the service stops: %v, want the job to run again", err)
	}
	later, err := s.pool.Enqueue(t.Context(), redelivery{first.Key}, &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.streams.takeBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantState(t, stateRequeued)
	if _, err := s.pool.Client().JobCancel(t.Context(), later.Job.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.streams.takeBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l := wantState(t, stateDead); l.cause != errStranded.Error() {
		t.Errorf("dead of %q, want %q", l.cause, errStranded)
	}
}

// A crasher fails at one step of the work, before or after it is done, as often
// as it says: what a process that dies there leaves to the next one.
type crasher struct {
	letters
	step  string
	times atomic.Int64
}

var errCrash = errors.New("crash")

func (c *crasher) crash(step string) error {
	if step == c.step && c.times.Add(-1) >= 0 {
		return errCrash
	}
	return nil
}

func (c *crasher) bury(ctx context.Context, l streamLetter) (int64, bool, error) {
	if err := c.crash("before bury"); err != nil {
		return 0, false, err
	}
	key, fresh, err := c.letters.bury(ctx, l)
	return key, fresh, errors.Join(err, c.crash("after bury"))
}

func (c *crasher) buried(ctx context.Context, group string, seq int64, storedAt time.Time) (bool, error) {
	if err := c.crash("before buried"); err != nil {
		return false, err
	}
	return c.letters.buried(ctx, group, seq, storedAt)
}

func (c *crasher) move(ctx context.Context, tx database.Tx, key int64, from, to string) (bool, error) {
	if err := c.crash("before " + to); err != nil {
		return false, err
	}
	moved, err := c.letters.move(ctx, tx, key, from, to)
	return moved, errors.Join(err, c.crash("after "+to)) // rolls back
}

func (c *crasher) dieAgain(ctx context.Context, key int64, cause, stack string, at time.Time) error {
	if err := c.crash("before dying again"); err != nil {
		return err
	}
	return errors.Join(c.letters.dieAgain(ctx, key, cause, stack, at), c.crash("after dying again"))
}

// Wherever the move to the dead letters and back is cut off, the message is
// there once in the end, and then taken.
func TestCrashInTheMoveLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		step  string
		calls int // until it is dead
		again int // from the requeue on
	}{
		// Far more often than PUBSUB_MAX_DELIVER: nothing is dropped.
		{"before buried", 3, 1},
		{"before bury", 3, 1},
		{"after bury", 3, 1},
		{"before requeued", 3, 1},
		{"after requeued", 3, 1},
		// The work was done, the record of it was not: it is done again.
		{"before done", 3, 1 + 5},
		{"after done", 3, 1 + 5},
	} {
		t.Run(tt.step, func(t *testing.T) {
			t.Parallel()
			var c *crasher
			s := openTill(t, func(l letters) letters {
				c = &crasher{letters: l, step: tt.step}
				c.times.Store(5)
				return c
			})
			s.publish(t, "bad", "good")
			dead := s.waitForDead(t, 1)
			s.waitForTaken(t, "good")
			if calls, _ := s.counts("bad"); calls != tt.calls || dead["bad"].Attempts != 3 || dead["bad"].Error != "out of paper" {
				t.Errorf("%d calls before it was dead, %+v; want %d", calls, dead["bad"], tt.calls)
			}
			s.fixed.Store(true)
			waittest.Until(t, func() error { return s.queue.Requeue(t.Context(), dead["bad"].ID) })
			waittest.Until(t, func() error {
				if _, state, err := s.streams.store.get(t.Context(), 1); err != nil || state != stateDone {
					return fmt.Errorf("the letter is %q: %w", state, err)
				}
				return nil
			})
			if calls, _ := s.counts("bad"); calls != tt.calls+tt.again {
				t.Errorf("%d calls in all, want %d", calls, tt.calls+tt.again)
			}
			s.waitForDead(t, 0)
		})
	}
}

// An outage is a database that fails, whatever it is asked, while it is set.
type outage struct {
	letters
	on     atomic.Bool
	failed atomic.Int64
}

func (o *outage) err() error {
	if !o.on.Load() {
		return nil
	}
	o.failed.Add(1)
	return errors.New("connection refused")
}

func (o *outage) bury(ctx context.Context, l streamLetter) (int64, bool, error) {
	if err := o.err(); err != nil {
		return 0, false, err
	}
	return o.letters.bury(ctx, l)
}

func (o *outage) buried(ctx context.Context, group string, seq int64, storedAt time.Time) (bool, error) {
	if err := o.err(); err != nil {
		return false, err
	}
	return o.letters.buried(ctx, group, seq, storedAt)
}

// A database that is down delays dead letters: it makes none of what could be
// handled, and each that there is has the cause and the attempts that it had.
func TestDatabaseDownWhileMessagesDie(t *testing.T) {
	t.Parallel()
	var db *outage
	s := openTill(t, func(l letters) letters {
		db = &outage{letters: l}
		db.on.Store(true)
		return db
	})
	s.publish(t, "bad", "never", "panic", "once")
	s.waitForTaken(t, "once")
	waittest.Until(t, func() error { // far more deliveries than attempts
		if n := db.failed.Load(); n < 40 {
			return fmt.Errorf("the database was asked %d times", n)
		}
		return nil
	})
	s.waitForDead(t, 0)
	db.on.Store(false)
	dead := s.waitForDead(t, 3)
	for data, want := range map[string]struct {
		attempts int
		cause    string
	}{
		"bad":   {3, "out of paper"},
		"panic": {3, "panic: the drawer is stuck"},
		"never": {1, "till: no such coin"},
	} {
		letter := dead[data]
		if calls, _ := s.counts(data); calls != want.attempts || letter.Attempts != want.attempts || letter.Error != want.cause {
			t.Errorf("%q: %d calls and the letter %+v, want %d and %q", data, calls, letter, want.attempts, want.cause)
		}
	}
	s.streams.unburied.mu.Lock()
	defer s.streams.unburied.mu.Unlock()
	if len(s.streams.unburied.letters) != 0 {
		t.Errorf("still in memory: %v", s.streams.unburied.letters)
	}
}

// By default a message's attempts outlast a restart of what it needs.
func TestAttemptsTakeTheirTime(t *testing.T) {
	t.Parallel()
	s := &Streams{config: defaults(t)}
	var total time.Duration
	for attempt := 1; attempt < s.config.StreamAttempts; attempt++ {
		total += s.rest(uint64(attempt)) //nolint:gosec // is more than 0
	}
	if total != 75*time.Second || s.rest(1<<40) != time.Hour {
		t.Errorf("%s in all and at most %s, want 75s and 1h", total, s.rest(1<<40))
	}
}

func TestMemoryOfTheUnburiedIsBounded(t *testing.T) {
	t.Parallel()
	var u unburied
	for i := range 2 * maxUnburied {
		u.put(streamLetter{group: "till", message: pubsub.Message{Seq: uint64(i)}}) //nolint:gosec // fits
	}
	if len(u.letters) != maxUnburied {
		t.Errorf("%d letters, want %d", len(u.letters), maxUnburied)
	}
	if _, ok := u.take("till", pubsub.Delivery{Message: pubsub.Message{Seq: 2*maxUnburied - 1}}); !ok {
		t.Error("the last one is not there")
	}
}

func TestCrashWhenItDiesAgain(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"before dying again", "after dying again"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			s := openTill(t, func(l letters) letters {
				c := &crasher{letters: l, step: step}
				c.times.Store(2)
				return c
			})
			s.publish(t, "bad")
			id := s.waitForDead(t, 1)["bad"].ID
			if err := s.queue.Requeue(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			waittest.Until(t, func() error {
				letter, err := s.queue.Get(t.Context(), id)
				if err == nil && letter.Attempts != 4 {
					err = fmt.Errorf("%d attempts are counted, want 4", letter.Attempts)
				}
				return err
			})
		})
	}
}

// What the consumer does with a delivery, by what is known of the message.
func TestDeliveryOfAKnownMessage(t *testing.T) {
	t.Parallel()
	s := openTill(t, nil)
	handle := s.streams.Handle("other", s.take)
	delivery := func(data string, attempt uint64) pubsub.Delivery {
		return pubsub.Delivery{Message: pubsub.Message{Topic: "till.two", Seq: 7, Time: time.Unix(1, 7), Data: []byte(data)}, Attempt: attempt}
	}
	// Its consumer died with it three times: it is dead without another call.
	if err := handle(t.Context(), delivery("killer", 4)); err != nil {
		t.Fatal(err)
	}
	letter := s.waitForDead(t, 1)["killer"]
	if calls, _ := s.counts("killer"); calls != 0 || letter.Error != errAbandoned.Error() {
		t.Errorf("%d calls, %+v", calls, letter)
	}
	// Discarded, and delivered once more: it stays discarded.
	if err := s.queue.Discard(t.Context(), letter.ID); err != nil {
		t.Fatal(err)
	}
	if err := handle(t.Context(), delivery("killer", 5)); err != nil {
		t.Fatal(err)
	}
	s.waitForDead(t, 0)
	if _, err := s.queue.Get(t.Context(), letter.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("a discarded letter: %v", err)
	}
	// The same place in another stream of that name, or another group: another message.
	recreated := delivery("bad", 3)
	recreated.Time = recreated.Time.Add(1)
	if err := handle(t.Context(), recreated); err != nil {
		t.Fatal(err)
	}
	if err := s.streams.Handle("third", s.take)(t.Context(), delivery("bad", 3)); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, func() error {
		n, _, err := s.streams.Count(t.Context())
		if err == nil && n != 2 {
			err = fmt.Errorf("%d are dead", n)
		}
		return err
	})
	// When the service stops, the message is not to blame.
	stopped, cancel := context.WithCancel(t.Context())
	fresh := delivery("bad", 3)
	fresh.Seq++
	err := s.streams.Handle("other", func(ctx context.Context, _ pubsub.Delivery) error {
		cancel()
		return ctx.Err()
	})(stopped, fresh)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("at the stop: %v", err)
	}
}

func TestLettersOfStreams(t *testing.T) {
	t.Parallel()
	s := openTill(t, nil)
	table := s.streams.store
	start := time.Now().Truncate(time.Microsecond).UTC()
	var want []int64 // oldest first
	for i := range 5 {
		key, fresh, err := table.bury(t.Context(), streamLetter{
			group:   []string{"even", "odd"}[i%2],
			message: pubsub.Message{Topic: "a", Seq: uint64(i), Time: start},
			cause:   "no",
			diedAt:  start.Add(time.Duration(i/2) * time.Second), // some at once
		})
		if err != nil || !fresh {
			t.Fatal(fresh, err)
		}
		want = append(want, key)
	}
	for _, oldest := range []bool{true, false} {
		var got []int64
		query := Query{Limit: 2, OldestFirst: oldest}
		for {
			found, err := s.streams.List(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range found {
				got = append(got, l.Key)
				query.After = &Position{l.DiedAt, l.Key}
			}
			if len(found) < query.Limit {
				break
			}
		}
		if !oldest {
			slices.Reverse(got)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("all pages, oldest first %t (-want +got):\n%s", oldest, diff)
		}
	}
	odd, err := s.streams.List(t.Context(), Query{Limit: 10, Kind: "odd"})
	if err != nil || len(odd) != 2 {
		t.Errorf("of one group: %+v, %v", odd, err)
	}
	if n, oldest, err := s.streams.Count(t.Context()); n != 5 || !oldest.Equal(start) || err != nil {
		t.Errorf("%d since %s, %v; want 5 since %s", n, oldest, err, start)
	}

	// Retention: the dead by theirs, those that were dealt with by another.
	if err := s.streams.Discard(t.Context(), want[4]); err != nil {
		t.Fatal(err)
	}
	if err := s.streams.purge(t.Context(), start.Add(s.streams.config.Retention+time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := s.streams.Count(t.Context()); n != 2 || err != nil {
		t.Errorf("%d letters are left, %v; want the 2 that died later", n, err)
	}
	s.streams.config.Retention = 0
	if err := s.streams.purge(t.Context(), start.Add(10*dealtWithRetention)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := s.streams.Count(t.Context()); n != 2 || err != nil {
		t.Errorf("%d letters are left, %v; want those that are kept for ever", n, err)
	}
	if _, _, err := table.get(t.Context(), want[4]); !errors.Is(err, ErrNotFound) {
		t.Errorf("a discarded letter after its retention: %v", err)
	}
	if err := s.streams.Requeue(t.Context(), 4711); !errors.Is(err, ErrNotFound) {
		t.Errorf("requeue of nothing: %v", err)
	}
}

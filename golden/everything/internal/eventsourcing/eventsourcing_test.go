package eventsourcing_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"example.com/orders/internal/database"
	"example.com/orders/internal/database/databasetest"
	"example.com/orders/internal/eventsourcing"
	"example.com/orders/internal/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counted happens to a counter.
type counted struct {
	By int `json:"by"`
}

func counters() *eventsourcing.Types {
	types := eventsourcing.NewTypes()
	eventsourcing.Register[counted](types, "counted")
	return types
}

const testSnapshots = 20

var testConfig = eventsourcing.Config{PollInterval: 10 * time.Millisecond, BatchEvents: 10, SnapshotEvery: testSnapshots, MaxAttempts: 100}

// newLog returns a log in the database, as one instance of a service has it.
func newLog(t testing.TB, db *database.Pool, types *eventsourcing.Types) (*eventsourcing.Log, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	log, err := eventsourcing.New(t.Context(), db, types, testConfig, slog.New(slog.DiscardHandler), registry, noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	return log, registry
}

// follow runs a projection until the test ends.
func follow(t testing.TB, log *eventsourcing.Log, p eventsourcing.Projection) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	run := log.Follow(p)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("projection %s: %v", p.Name, err)
		}
	})
}

// A counter is counted.
type counter struct{ Sum int }

func newCounters(log *eventsourcing.Log) *eventsourcing.Aggregate[counter] {
	return eventsourcing.NewAggregate(log, "counter", 1, func(c counter, e eventsourcing.Event) counter {
		c.Sum += e.Value.(counted).By
		return c
	})
}

func TestOfManyWhoAppendOneWins(t *testing.T) {
	t.Parallel()
	log, _ := newLog(t, databasetest.Open(t), counters())
	var won, lost atomic.Int64
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			version, err := log.Append(t.Context(), "a", 0, counted{i}, counted{i})
			switch {
			case err == nil && version == 2:
				won.Add(1)
			case errors.Is(err, eventsourcing.ErrConflict):
				lost.Add(1)
			default:
				t.Errorf("version %d, %v", version, err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || lost.Load() != 15 {
		t.Errorf("%d won and %d lost, want 1 and 15", won.Load(), lost.Load())
	}
	events, err := log.Stream(t.Context(), "a", 0, 100)
	if err != nil || len(events) != 2 || events[0].Value != events[1].Value {
		t.Errorf("%+v, %v; want the two of the winner", events, err)
	}
}

func TestUpdatesOfOneThingAreAllKept(t *testing.T) {
	t.Parallel()
	log, _ := newLog(t, databasetest.Open(t), counters())
	aggregate := newCounters(log)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				if _, _, err := aggregate.Update(t.Context(), "x", func(counter) ([]any, error) { return []any{counted{1}}, nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	got, version, err := aggregate.Load(t.Context(), "x")
	if err != nil || got.Sum != 80 || version != 80 {
		t.Errorf("%+v at version %d, %v; want 80 and 80", got, version, err)
	}
}

// After a conflict some time passes before the next attempt, so that those who
// change one thing don't meet each other until their attempts are used up.
func TestUpdateWaitsAfterAConflict(t *testing.T) {
	t.Parallel()
	log, _ := newLog(t, databasetest.Open(t), counters())
	aggregate := newCounters(log)
	const conflicts = 5
	asked := 0
	begin := time.Now()
	_, _, err := aggregate.Update(t.Context(), "x", func(counter) ([]any, error) {
		if asked++; asked <= conflicts { // somebody else is quicker
			if _, err := log.Append(t.Context(), aggregate.Stream("x"), eventsourcing.AnyVersion, counted{1}); err != nil {
				return nil, err
			}
		}
		return []any{counted{1}}, nil
	})
	if err != nil || asked != conflicts+1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	if least := (10 + 20 + 40 + 80 + 160) * time.Millisecond / 2; time.Since(begin) < least {
		t.Errorf("it took %v, want at least %v", time.Since(begin), least)
	}
}

func TestATransactionThatIsRolledBackLeavesNoEvent(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t)
	log, _ := newLog(t, db, counters())
	changed := errors.New("changed my mind")
	err := database.InTx(t.Context(), db, func(tx database.Tx) error {
		if err := log.AppendTx(t.Context(), tx, "a", eventsourcing.AnyVersion, counted{1}); err != nil {
			return err
		}
		return changed
	})
	if !errors.Is(err, changed) {
		t.Fatal(err)
	}
	if events, err := log.Stream(t.Context(), "a", 0, 10); err != nil || len(events) != 0 {
		t.Errorf("%v, %v; want none", events, err)
	}
}

// A snapshot spares the events before it; one of another schema is left aside.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	log, _ := newLog(t, databasetest.Open(t), counters())
	one := newCounters(log)
	for range 45 {
		if _, _, err := one.Update(t.Context(), "x", func(counter) ([]any, error) { return []any{counted{2}}, nil }); err != nil {
			t.Fatal(err)
		}
	}
	for schema, applied := range map[int]int{1: 5, 2: 45} { // snapshots at 20 and 40
		n := 0
		again := eventsourcing.NewAggregate(log, "counter", schema, func(c counter, e eventsourcing.Event) counter {
			n++
			c.Sum += e.Value.(counted).By
			return c
		})
		got, version, err := again.Load(t.Context(), "x")
		if err != nil || got.Sum != 90 || version != 45 || n != applied {
			t.Errorf("schema %d: %+v at %d by %d events, %v; want 90 at 45 by %d", schema, got, version, n, err, applied)
		}
	}
}

// A snapshot that can't be read, as of a state that has changed since, is no loss: the
// events are there, and the next snapshot takes its place.
func TestASnapshotThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`"text"`, `{"Sum":"40"}`, `null`} {
		db := databasetest.Open(t)
		log, _ := newLog(t, db, counters())
		one := newCounters(log)
		add := func(times int) {
			for range times {
				if _, _, err := one.Update(t.Context(), "x", func(counter) ([]any, error) { return []any{counted{2}}, nil }); err != nil {
					t.Fatal(err)
				}
			}
		}
		add(45)
		if err := database.InTx(t.Context(), db, func(tx database.Tx) error {
			return eventsourcing.Exec(t.Context(), tx, `UPDATE eventsourcing_snapshots SET data = $1`, data)
		}); err != nil {
			t.Fatal(err)
		}
		if got, version, err := one.Load(t.Context(), "x"); err != nil || got.Sum != 90 || version != 45 {
			t.Errorf("%s: %+v at %d, %v; want 90 at 45", data, got, version, err)
		}
		add(1)
		n := 0
		again := eventsourcing.NewAggregate(log, "counter", 1, func(c counter, e eventsourcing.Event) counter {
			n++
			c.Sum += e.Value.(counted).By
			return c
		})
		if got, _, err := again.Load(t.Context(), "x"); err != nil || got.Sum != 92 || n != 0 {
			t.Errorf("%s: %+v by %d events, %v; want 92 by the new snapshot", data, got, n, err)
		}
	}
}

func TestEventsOfOlderAndNewerSchemas(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t)
	type named struct{ Name string }
	old := eventsourcing.NewTypes()
	eventsourcing.Register[named](old, "named")
	before, _ := newLog(t, db, old)
	if _, err := before.Append(t.Context(), "a", 0, named{"Ada Lovelace"}); err != nil {
		t.Fatal(err)
	}

	type parts struct{ First, Last string }
	now := eventsourcing.NewTypes()
	eventsourcing.Register[parts](now, "named", func(data json.RawMessage) (json.RawMessage, error) {
		var v1 named
		if err := json.Unmarshal(data, &v1); err != nil {
			return nil, err
		}
		first, last, _ := strings.Cut(v1.Name, " ")
		return json.Marshal(parts{first, last})
	})
	after, _ := newLog(t, db, now)
	if _, err := after.Append(t.Context(), "a", 1, parts{"Grace", "Hopper"}); err != nil {
		t.Fatal(err)
	}
	events, err := after.Stream(t.Context(), "a", 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []any
	for _, e := range events {
		got = append(got, e.Value)
	}
	if diff := cmp.Diff([]any{parts{"Ada", "Lovelace"}, parts{"Grace", "Hopper"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The older program meets what the newer one wrote, and does not guess.
	if _, err := before.Stream(t.Context(), "a", 0, 10); !errors.Is(err, eventsourcing.ErrNewer) {
		t.Errorf("%v, want ErrNewer", err)
	}
	if _, err := before.Stream(t.Context(), "a", 0, 1); err != nil {
		t.Errorf("its own event: %v", err)
	}
	if _, err := before.Append(t.Context(), "a", 2, counted{1}); err == nil || !strings.Contains(err.Error(), "no registered event") {
		t.Errorf("an event of no type: %v", err)
	}
}

// Two instances follow the same projection, while four append: each event is
// handled once and in the order of its stream.
func TestInstancesShareAProjection(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t)
	var mu sync.Mutex
	seen := make(map[string][]int64)
	handle := func(_ context.Context, _ database.Tx, _ int64, e eventsourcing.Event) error {
		mu.Lock()
		defer mu.Unlock()
		seen[e.Stream] = append(seen[e.Stream], e.Version)
		return nil
	}
	var logs []*eventsourcing.Log
	for range 2 {
		log, _ := newLog(t, db, counters())
		follow(t, log, eventsourcing.Projection{Name: "shared", Handle: handle})
		logs = append(logs, log)
	}
	const streams, each = 4, 50
	var appending sync.WaitGroup
	for i := range streams {
		appending.Go(func() {
			for range each {
				if _, err := logs[i%2].Append(t.Context(), fmt.Sprint(i), eventsourcing.AnyVersion, counted{i}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	appending.Wait()
	waittest.Until(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		n := 0
		for _, versions := range seen {
			n += len(versions)
		}
		if n < streams*each {
			return fmt.Errorf("%d events were handled, want %d", n, streams*each)
		}
		return nil
	})
	for stream, versions := range seen {
		if len(versions) != each || !slices.IsSorted(versions) || versions[0] != 1 {
			t.Errorf("stream %s: %v", stream, versions)
		}
	}
}

// An event that can't be handled is waited for, and nothing after it is done.
func TestAProjectionThatFailsStandsStill(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t)
	log, registry := newLog(t, db, counters())
	var broken atomic.Bool
	broken.Store(true)
	var mu sync.Mutex
	var handled []int
	follow(t, log, eventsourcing.Projection{Name: "p", Handle: func(_ context.Context, _ database.Tx, _ int64, e eventsourcing.Event) error {
		by := e.Value.(counted).By
		if by == 2 && broken.Load() {
			return errors.New("no paper")
		}
		mu.Lock()
		defer mu.Unlock()
		handled = append(handled, by)
		return nil
	}})
	for i := range 3 {
		if _, err := log.Append(t.Context(), "a", int64(i), counted{i + 1}); err != nil {
			t.Fatal(err)
		}
	}
	waittest.Until(t, func() error {
		if failures(t, registry, "p") >= 2 {
			return nil
		}
		return errors.New("it did not fail twice")
	})
	mu.Lock()
	handled = nil // what was done in a transaction that is rolled back
	mu.Unlock()
	broken.Store(false)
	waittest.Until(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(handled) < 2 || handled[len(handled)-1] != 3 {
			return fmt.Errorf("handled %v", handled)
		}
		return nil
	})
}

// A projection that changes a stream which others change all the time gets hold of
// it; one whose change can never be made says so.
func TestAProjectionMeetsConflicts(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t)
	log, registry := newLog(t, db, counters())
	shared := newCounters(log)
	follow(t, log, eventsourcing.Projection{Name: "adds", Handle: func(ctx context.Context, tx database.Tx, _ int64, e eventsourcing.Event) error {
		if !strings.HasPrefix(e.Stream, "from-") {
			return nil
		}
		return shared.UpdateTx(ctx, tx, "x", func(counter) ([]any, error) { return []any{e.Value}, nil })
	}})
	follow(t, log, eventsourcing.Projection{Name: "never", Handle: func(ctx context.Context, tx database.Tx, _ int64, _ eventsourcing.Event) error {
		return log.AppendTx(ctx, tx, "from-0", 4711, counted{1})
	}})
	const callers, each = 4, 25
	var appending sync.WaitGroup
	for i := range callers {
		appending.Go(func() {
			for range each {
				if _, err := log.Append(t.Context(), fmt.Sprint("from-", i), eventsourcing.AnyVersion, counted{1}); err != nil {
					t.Error(err)
				}
				if _, _, err := shared.Update(t.Context(), "x", func(counter) ([]any, error) { return []any{counted{1000}}, nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	appending.Wait()
	waittest.Until(t, func() error {
		got, _, err := shared.Load(t.Context(), "x")
		if want := callers * each * 1001; err == nil && got.Sum != want {
			err = fmt.Errorf("the sum is %d, want %d", got.Sum, want)
		}
		return err
	})
	waittest.Until(t, func() error {
		if failures(t, registry, "never") == 0 {
			return errors.New("a projection that meets nothing but conflicts does not say so")
		}
		return nil
	})
	if n := failures(t, registry, "adds"); n > 0 {
		t.Errorf("the other failed %v times", n)
	}
}

// Where all changes are parts of other transactions, there are snapshots too.
func TestSnapshotsOfChangesInTransactions(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t)
	log, _ := newLog(t, db, counters())
	applied := 0
	aggregate := eventsourcing.NewAggregate(log, "counter", 1, func(c counter, e eventsourcing.Event) counter {
		applied++
		c.Sum += e.Value.(counted).By
		return c
	})
	for range 45 {
		err := database.InTx(t.Context(), db, func(tx database.Tx) error {
			return aggregate.UpdateTx(t.Context(), tx, "x", func(counter) ([]any, error) { return []any{counted{2}}, nil })
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	applied = 0
	got, version, err := aggregate.Load(t.Context(), "x")
	if err != nil || got.Sum != 90 || version != 45 || applied > testSnapshots {
		t.Errorf("%+v at %d by %d events, %v; want 90 at 45 by no more than %d", got, version, applied, err, testSnapshots)
	}
}

func failures(t testing.TB, registry *prometheus.Registry, projection string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "eventsourcing_failures_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == projection {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("projection %s counts no failures", projection)
	return 0
}

func TestDeliverHandsOverEveryEventInOrder(t *testing.T) {
	t.Parallel()
	log, _ := newLog(t, databasetest.Open(t), counters())
	var mu sync.Mutex
	var got []int
	fail := true
	follow(t, log, eventsourcing.Projection{Name: "out", Deliver: func(_ context.Context, e eventsourcing.Event) error {
		mu.Lock()
		defer mu.Unlock()
		by := e.Value.(counted).By
		if by == 12 && fail {
			fail = false
			return errors.New("the other side is away")
		}
		got = append(got, by) // what was handed over before the error is not again
		return nil
	}})
	var want []int
	for i := range 25 {
		want = append(want, i)
		if _, err := log.Append(t.Context(), "a", eventsourcing.AnyVersion, counted{i}); err != nil {
			t.Fatal(err)
		}
	}
	waittest.Until(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(want, got); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	if err := log.Rebuild(t.Context(), "out"); !errors.Is(err, eventsourcing.ErrNoProjection) {
		t.Errorf("rebuilding what was handed over: %v", err)
	}
}

func TestValidateNamesEveryVariable(t *testing.T) {
	t.Parallel()
	err := eventsourcing.Config{}.Validate()
	for _, variable := range []string{"EVENTSOURCING_POLL_INTERVAL=0s: ", "EVENTSOURCING_BATCH_EVENTS=0: ", "EVENTSOURCING_SNAPSHOT_EVERY=0: ", "EVENTSOURCING_MAX_ATTEMPTS=0: "} {
		if err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%v does not name %s", err, variable)
		}
	}
}

// BenchmarkAppend appends one event to each of many streams, by sixteen at once.
func BenchmarkAppend(b *testing.B) {
	log, _ := newLog(b, databasetest.Open(b), counters())
	var n atomic.Int64
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := log.Append(b.Context(), fmt.Sprint("s", n.Add(1)), 0, counted{1}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

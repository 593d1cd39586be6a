package progress_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/goleak"

	"example.com/orders/internal/database"
	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/progress"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/workers"
	"example.com/orders/internal/workers/workerstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A countArgs job does what the test says.
type countArgs struct{}

func (countArgs) Kind() string { return "count" }

// A shortArgs job does nothing.
type shortArgs struct{}

func (shortArgs) Kind() string { return "short" }

type counter struct {
	river.WorkerDefaults[countArgs]
	work func(ctx context.Context, job *river.Job[countArgs]) error
}

func (c *counter) Work(ctx context.Context, job *river.Job[countArgs]) error { return c.work(ctx, job) }

func (*counter) NextRetry(*river.Job[countArgs]) time.Time { return time.Now() }

type fixture struct {
	db      *database.Pool
	pool    *workers.Pool
	tracker *progress.Tracker
	ended   chan struct{} // has one of each attempt that ended, with its last word
}

func config() progress.Config {
	return progress.Config{
		WriteInterval: 10 * time.Millisecond, WriteTimeout: 10 * time.Second, MaxNoteBytes: 20, MaxReads: 4, ReadTimeout: 10 * time.Second,
	}
}

func setup(t testing.TB, db *database.Pool, config progress.Config, work func(context.Context, *river.Job[countArgs]) error) *fixture {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	f := &fixture{db: db, pool: workerstest.New(t, db, workerstest.Config()), ended: make(chan struct{}, 100)}
	f.pool.Use(river.WorkerMiddlewareFunc(func(ctx context.Context, _ *rivertype.JobRow, inner func(context.Context) error) error {
		defer func() { f.ended <- struct{}{} }()
		return inner(ctx)
	}))
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	var err error
	if f.tracker, err = progress.New(f.pool, db, config, log, prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	workers.Add(f.pool, &counter{work: work})
	workers.Add(f.pool, river.WorkFunc(func(context.Context, *river.Job[shortArgs]) error { return nil }))
	return f
}

func (f *fixture) enqueue(t testing.TB, args river.JobArgs) int64 {
	t.Helper()
	result, err := f.pool.Enqueue(t.Context(), args, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result.Job.ID
}

// await waits until what is shown of the job is as said.
func (f *fixture) await(t testing.TB, id int64, is func(progress.Progress) bool) progress.Progress {
	t.Helper()
	var p progress.Progress
	waittest.Until(t, func() (err error) {
		p, err = f.tracker.Get(t.Context(), id)
		if err == nil && !is(p) {
			err = fmt.Errorf("job %d: %+v", id, p)
		}
		return err
	})
	return p
}

func in(state progress.State) func(progress.Progress) bool {
	return func(p progress.Progress) bool { return p.State == state }
}

// line is what a test compares of a progress.
func line(p progress.Progress) string {
	percent := "-"
	if p.Percent != nil {
		percent = strconv.Itoa(*p.Percent)
	}
	s := fmt.Sprintf("%s, attempt %d: %d of %d, %s %%, %q", p.State, p.Attempt, p.Done, p.Total, percent, p.Note)
	if p.AttemptEnded {
		s += ", said its last"
	}
	return s
}

func want(t testing.TB, p progress.Progress, wanted string) {
	t.Helper()
	if got := line(p); got != wanted {
		t.Errorf("got  %s\nwant %s", got, wanted)
	}
}

// Within an attempt nothing goes back, whatever the job's code says, and what was
// said last is there when the job has ended.
func TestProgressDoesNotGoBack(t *testing.T) {
	t.Parallel()
	next, said := make(chan struct{}), make(chan struct{})
	f := setup(t, workerstest.Database(t), config(), func(ctx context.Context, _ *river.Job[countArgs]) error {
		for _, u := range []struct {
			done, total int64
			note        string
		}{
			{7, 0, "how many?"}, {10, 100, "ten"}, {5, 100, "five"}, {20, 1000, "more"}, {-1, -5, "nonsense"},
			{500, 1000, "half"}, {999, 1000, "a\x00b\xff and much, much more"}, {1001, 1000, "all"},
		} {
			<-next
			progress.Report(ctx, u.done, u.total, u.note)
			said <- struct{}{}
		}
		progress.From(ctx).Report(1001, 1000, "bye")
		return nil
	})
	workerstest.Start(t, f.pool)
	id := f.enqueue(t, countArgs{})
	want(t, f.await(t, id, in(progress.Running)), `running, attempt 1: 0 of 0, - %, ""`)
	for _, wanted := range []string{
		`running, attempt 1: 7 of 0, - %, "how many?"`,
		`running, attempt 1: 10 of 100, 10 %, "ten"`,
		`running, attempt 1: 10 of 100, 10 %, "five"`,
		`running, attempt 1: 20 of 1000, 10 %, "more"`,
		`running, attempt 1: 20 of 0, 10 %, "nonsense"`,
		`running, attempt 1: 500 of 1000, 50 %, "half"`,
		`running, attempt 1: 999 of 1000, 99 %, "a` + "\uFFFD" + `b` + "\uFFFD" + ` and much, m"`,
	} {
		next <- struct{}{}
		<-said
		f.await(t, id, func(p progress.Progress) bool { return line(p) == wanted })
	}
	next <- struct{}{}
	<-said
	want(t, f.await(t, id, in(progress.Succeeded)), `succeeded, attempt 1: 1001 of 1000, 100 %, "bye", said its last`)
}

// An attempt that comes after another says so, and counts anew.
func TestRetriesSaySo(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	f := setup(t, workerstest.Database(t), config(), func(ctx context.Context, job *river.Job[countArgs]) error {
		switch job.Attempt {
		case 1:
			progress.Report(ctx, 40, 100, "first")
			return errors.New("no paper")
		case 2:
			<-next
			progress.Report(ctx, 10, 100, "second")
			<-next
			panic("no ink")
		}
		return errors.New("nothing to say")
	})
	workerstest.Start(t, f.pool)
	id := f.enqueue(t, countArgs{})
	p := f.await(t, id, func(p progress.Progress) bool { return p.Attempt == 2 })
	want(t, p, `running, attempt 2: 0 of 0, - %, ""`)
	next <- struct{}{}
	p = f.await(t, id, func(p progress.Progress) bool { return p.Done > 0 })
	want(t, p, `running, attempt 2: 10 of 100, 10 %, "second"`)
	next <- struct{}{}
	p = f.await(t, id, in(progress.Failed))
	want(t, p, `failed, attempt 3: 0 of 0, - %, ""`)
	if !p.Ended || p.UpdatedAt != nil {
		t.Errorf("%+v", p)
	}
}

// A job's last word is kept however its attempt ends.
func TestTheLastWordIsKept(t *testing.T) {
	t.Parallel()
	slow := config()
	slow.WriteInterval = time.Hour // only the first and the last are written
	for name, tt := range map[string]struct {
		end  func(context.Context) error
		want string
	}{
		"succeeds":       {func(context.Context) error { return nil }, "succeeded"},
		"fails for good": {func(context.Context) error { return river.JobCancel(errors.New("no")) }, "cancelled"},
		"is put off":     {func(context.Context) error { return river.JobSnooze(time.Hour) }, "waiting"},
		"fails": {func(context.Context) error {
			return errors.New("no")
		}, "failed"},
		"panics": {func(context.Context) error { panic("no") }, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, workerstest.Database(t), slow, func(ctx context.Context, job *river.Job[countArgs]) error {
				job.MaxAttempts = job.Attempt
				for i := range int64(51) {
					progress.Report(ctx, i, 100, "")
				}
				return tt.end(ctx)
			})
			workerstest.Start(t, f.pool)
			id := f.enqueue(t, countArgs{})
			p := f.await(t, id, func(p progress.Progress) bool { return p.State == progress.State(tt.want) && p.AttemptEnded })
			want(t, p, tt.want+`, attempt 1: 50 of 100, 50 %, "", said its last`)
			if n := f.tracker.Writes("ok"); n > 2 {
				t.Errorf("%v writes", n)
			}
		})
	}
}

// A job that a shutdown cuts off leaves its last word, and the pool does not count
// the attempt. The next one still says that it is another.
func TestAJobThatIsCutOff(t *testing.T) {
	t.Parallel()
	db := workerstest.Database(t)
	begun := make(chan struct{})
	cut := func(ctx context.Context, _ *river.Job[countArgs]) error {
		progress.Report(ctx, 30, 100, "before")
		close(begun)
		<-ctx.Done()
		progress.Report(ctx, 31, 100, "told to stop")
		return ctx.Err()
	}
	limits := workerstest.Config()
	limits.DrainTimeout = 10 * time.Millisecond
	f := setup(t, db, config(), cut)
	pool := workerstest.New(t, db, limits)
	tracker, err := progress.New(pool, db, config(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	workers.Add(pool, &counter{work: cut})
	if err := pool.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.pool, f.tracker = pool, tracker
	id := f.enqueue(t, countArgs{})
	<-begun
	if err := pool.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := tracker.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	want(t, p, `waiting, attempt 1: 31 of 100, 31 %, "told to stop", said its last`)

	end := make(chan struct{})
	again := setup(t, db, config(), func(ctx context.Context, job *river.Job[countArgs]) error {
		if job.Attempt != 1 {
			t.Errorf("the pool counts attempt %d", job.Attempt)
		}
		progress.Report(ctx, 1, 100, "anew")
		<-end
		return nil
	})
	workerstest.Start(t, again.pool)
	p = again.await(t, id, func(p progress.Progress) bool { return p.Done > 0 && p.Attempt > 1 })
	want(t, p, `running, attempt 2: 1 of 100, 1 %, "anew"`)
	close(end)
	again.await(t, id, in(progress.Succeeded))
}

// Four jobs report a thousand times a second each: they cost few writes, counted
// by the database, and others get their turn.
func TestAThousandReportsASecond(t *testing.T) {
	t.Parallel()
	const (
		jobs     = 4
		interval = 250 * time.Millisecond
		lasts    = 2 * time.Second
	)
	usual := config()
	usual.WriteInterval = interval
	var (
		mu      sync.Mutex
		took    []time.Duration
		reports int
	)
	db := workerstest.Database(t)
	writes := countWrites(t, db)
	f := setup(t, db, usual, func(ctx context.Context, _ *river.Job[countArgs]) error {
		begin := time.Now()
		total := lasts.Milliseconds()
		n := int64(0)
		for n < total { // as many as are due by now
			for due := min(time.Since(begin).Milliseconds(), total); n < due; n++ {
				progress.Report(ctx, n+1, total, "")
			}
			time.Sleep(time.Millisecond)
		}
		mu.Lock()
		defer mu.Unlock()
		took, reports = append(took, time.Since(begin)), reports+int(n)
		return nil
	})
	workerstest.Start(t, f.pool)
	ids := make([]int64, jobs)
	for i := range ids {
		ids[i] = f.enqueue(t, countArgs{})
	}
	for _, id := range ids {
		f.await(t, id, func(p progress.Progress) bool { return p.Done > 0 })
	}
	begin := time.Now()
	for range 5 {
		f.await(t, f.enqueue(t, shortArgs{}), in(progress.Succeeded))
	}
	others := time.Since(begin)
	most := 0
	for _, id := range ids {
		p := f.await(t, id, in(progress.Succeeded))
		want(t, p, `succeeded, attempt 1: 2000 of 2000, 100 %, "", said its last`)
	}
	for _, d := range took {
		most += 2 + int(d/interval) // the first, one each interval, and the last
	}
	got := writes()
	t.Logf("%d reports in %s: %d writes; 5 other jobs, one after the other, took %s", reports, slices.Max(took), got, others)
	if reports != jobs*int(lasts.Milliseconds()) || got > most || got < jobs*3 {
		t.Errorf("%d reports cost %d writes, want at most %d", reports, got, most)
	}
	if n := f.tracker.Writes("ok"); int(n) != got {
		t.Errorf("the metric counts %v writes, the database %d", n, got)
	}
}

// While the database does not answer, jobs go on; what they said meanwhile is
// there afterwards.
func TestADatabaseThatIsStuck(t *testing.T) {
	t.Parallel()
	db := workerstest.Database(t)
	short := config()
	short.WriteTimeout = 50 * time.Millisecond
	next := make(chan struct{})
	took := make(chan time.Duration, 1)
	f := setup(t, db, short, func(ctx context.Context, _ *river.Job[countArgs]) error {
		progress.Report(ctx, 1, 100, "before")
		<-next
		begin := time.Now()
		for range 1000 {
			progress.Report(ctx, 50, 100, "meanwhile")
		}
		took <- time.Since(begin)
		<-next
		return nil
	})
	workerstest.Start(t, f.pool)
	id := f.enqueue(t, countArgs{})
	f.await(t, id, func(p progress.Progress) bool { return p.Done == 1 })
	if err := database.InTx(t.Context(), db, func(tx database.Tx) error {
		if err := freeze(t.Context(), tx); err != nil {
			return err
		}
		next <- struct{}{}
		if d := <-took; d > 1000*short.WriteTimeout/2 {
			t.Errorf("a thousand reports took %s", d)
		}
		waittest.Until(t, func() error {
			if f.tracker.Writes("error") == 0 {
				return errors.New("no write has failed")
			}
			return nil
		})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f.await(t, id, func(p progress.Progress) bool { return p.Done == 50 && p.State == progress.Running })
	close(next)
	f.await(t, id, in(progress.Succeeded))
}

// The end of an attempt does not wait for ever for a database that does not answer.
func TestAnEndWhileTheDatabaseIsStuck(t *testing.T) {
	t.Parallel()
	db := workerstest.Database(t)
	short := config()
	short.WriteTimeout = 300 * time.Millisecond
	next := make(chan struct{})
	f := setup(t, db, short, func(ctx context.Context, _ *river.Job[countArgs]) error {
		progress.Report(ctx, 1, 100, "before")
		<-next
		progress.Report(ctx, 100, 100, "lost")
		return nil
	})
	workerstest.Start(t, f.pool)
	id := f.enqueue(t, countArgs{})
	f.await(t, id, func(p progress.Progress) bool { return p.Done == 1 })
	if err := database.InTx(t.Context(), db, func(tx database.Tx) error {
		if err := freeze(t.Context(), tx); err != nil {
			return err
		}
		begin := time.Now()
		next <- struct{}{}
		<-f.ended
		if took := time.Since(begin); took < short.WriteTimeout || took > 10*time.Second {
			t.Errorf("the attempt waited %s at its end", took)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// What was given up may still be done by the server, which was let go too.
	if p := f.await(t, id, in(progress.Succeeded)); p.Done != 1 && p.Done != 100 {
		t.Errorf("done %d, want 1, or 100 if the server went on", p.Done)
	}
}

// An attempt that was taken for dead and lives does not write over a newer one.
func TestAStaleAttemptIsIgnored(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	f := setup(t, workerstest.Database(t), config(), func(ctx context.Context, _ *river.Job[countArgs]) error {
		progress.Report(ctx, 80, 100, "old")
		<-next
		progress.Report(ctx, 90, 100, "still old")
		<-next
		return nil
	})
	workerstest.Start(t, f.pool)
	id := f.enqueue(t, countArgs{})
	f.await(t, id, func(p progress.Progress) bool { return p.Done == 80 })
	if kept, err := f.tracker.Save(t.Context(), progress.Update{Job: id, Attempt: 2, Done: 1, Total: 100}); !kept || err != nil {
		t.Fatal(kept, err)
	}
	next <- struct{}{}
	waittest.Until(t, func() error {
		if f.tracker.Writes("stale") == 0 {
			return errors.New("not refused yet")
		}
		return nil
	})
	next <- struct{}{}
	want(t, f.await(t, id, in(progress.Succeeded)), `succeeded, attempt 2: 1 of 100, - %, ""`)
	// A write of the same attempt that comes late does not take it back either.
	if kept, err := f.tracker.Save(t.Context(), progress.Update{Job: id, Attempt: 2}); kept || err != nil {
		t.Error(kept, err)
	}
}

// Progress goes with its job.
func TestProgressOfJobsThatAreGone(t *testing.T) {
	t.Parallel()
	f := setup(t, workerstest.Database(t), config(), func(ctx context.Context, _ *river.Job[countArgs]) error {
		progress.Report(ctx, 1, 2, "")
		return nil
	})
	workerstest.Start(t, f.pool)
	gone, stays := f.enqueue(t, countArgs{}), f.enqueue(t, countArgs{})
	for _, id := range []int64{gone, stays} {
		f.await(t, id, in(progress.Succeeded))
	}
	if _, err := f.pool.Client().JobDelete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if p, err := f.tracker.Get(t.Context(), gone); !errors.Is(err, progress.ErrNotFound) {
		t.Errorf("%+v, %v", p, err)
	}
	for _, wanted := range []int{1, 0} {
		if n, err := f.tracker.Sweep(t.Context()); n != wanted || err != nil {
			t.Errorf("%d were deleted, want %d: %v", n, wanted, err)
		}
	}
	want(t, f.await(t, stays, in(progress.Succeeded)), `succeeded, attempt 1: 1 of 2, 50 %, "", said its last`)
}

// A stream gets the newest each interval, in order, and each attempt's last; one
// that hangs holds up neither the job nor what is written, but for a moment at
// the end.
func TestStreams(t *testing.T) {
	t.Parallel()
	var got []progress.Update
	short := config()
	short.WriteTimeout = 200 * time.Millisecond
	next := make(chan struct{})
	f := setup(t, workerstest.Database(t), short, func(ctx context.Context, _ *river.Job[countArgs]) error {
		for i := range int64(100) {
			progress.Report(ctx, i+1, 100, "")
			if i == 49 {
				<-next
			}
		}
		return nil
	})
	f.tracker.AddStream(progress.Stream{Name: "quick", Wants: func(*http.Request) bool { return false }, Publish: func(_ context.Context, u progress.Update) error {
		got = append(got, u)
		return nil
	}})
	f.tracker.AddStream(progress.Stream{Name: "hangs", Wants: func(*http.Request) bool { return false }, Publish: func(ctx context.Context, _ progress.Update) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	workerstest.Start(t, f.pool)
	id := f.enqueue(t, countArgs{})
	f.await(t, id, func(p progress.Progress) bool { return p.Done == 50 })
	begin := time.Now()
	next <- struct{}{}
	p := f.await(t, id, in(progress.Succeeded))
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the job took %s to end", took)
	}
	if diff := cmp.Diff([]string{"quick", "hangs"}, p.Streams); diff != "" {
		t.Error(diff)
	}
	for i, u := range got {
		if i > 0 && u.Done < got[i-1].Done {
			t.Errorf("update %d goes back: %+v", i, got)
		}
	}
	if last := got[len(got)-1]; len(got) < 2 || last.Done != 100 || !last.AttemptEnded || got[0].Job != id {
		t.Errorf("got %+v", got)
	}
	if f.tracker.Published("error") == 0 || f.tracker.Published("ok") != float64(len(got)) {
		t.Errorf("published: %v well, %v not", f.tracker.Published("ok"), f.tracker.Published("error"))
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	brief := config()
	brief.ReadTimeout = 2 * time.Second
	f := setup(t, workerstest.Database(t), brief, func(ctx context.Context, _ *river.Job[countArgs]) error {
		progress.Report(ctx, 1, 2, "half")
		<-next
		return nil
	})
	f.tracker.AddStream(progress.Stream{
		Name:  "shouts",
		Wants: func(r *http.Request) bool { return r.Header.Get("Accept") == "text/shouts" },
		Serve: func(w http.ResponseWriter, _ *http.Request, job int64) error {
			_, err := fmt.Fprintf(w, "JOB %d!", job)
			return err
		},
		Publish: func(context.Context, progress.Update) error { return nil },
	})
	workerstest.Start(t, f.pool)
	id := strconv.FormatInt(f.enqueue(t, countArgs{}), 10)
	mux := http.NewServeMux()
	mux.Handle("GET /jobs/{id}/progress", httpapi.Handler(f.tracker.ServeProgress))
	ask := func(id string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/jobs/"+id+"/progress", http.NoBody)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	var answer *httptest.ResponseRecorder
	waittest.Until(t, func() error {
		answer = ask(id)
		if !strings.Contains(answer.Body.String(), `"done":1,"total":2,"percent":50,"note":"half","attempt_ended":false`) {
			return errors.New(answer.Body.String())
		}
		return nil
	})
	for key, wanted := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "private, no-cache", "Retry-After": "1", "Vary": "Accept",
	} {
		if got := answer.Header().Get(key); got != wanted {
			t.Errorf("%s: %q, want %q", key, got, wanted)
		}
	}
	tag := answer.Header().Get("ETag")
	if same := ask(id, "If-None-Match", tag); same.Code != http.StatusNotModified || same.Body.Len() > 0 || same.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %s %v", same.Code, same.Body, same.Header())
	}
	if whole := ask(id, "Range", "bytes=500-600"); whole.Code != http.StatusOK {
		t.Errorf("a part of it: %d %s", whole.Code, whole.Body)
	}
	if stream := ask(id, "Accept", "text/shouts"); stream.Body.String() != "JOB "+id+"!" {
		t.Errorf("%d %s", stream.Code, stream.Body)
	}
	for _, none := range []string{"4711", "0", "-1", "+1", "01", "x", "99999999999999999999"} {
		for _, accept := range []string{"*/*", "text/shouts"} {
			if got := ask(none, "Accept", accept); got.Code != http.StatusNotFound {
				t.Errorf("job %s: %d %s", none, got.Code, got.Body)
			}
		}
	}
	release := f.tracker.Occupy()
	if got := ask(id); got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") != "1" || !strings.Contains(got.Body.String(), "Too many") {
		t.Errorf("with no turn free: %d %s", got.Code, got.Body)
	}
	release()
	if err := database.InTx(t.Context(), f.db, func(tx database.Tx) error {
		if err := freeze(t.Context(), tx); err != nil {
			return err
		}
		if got := ask(id); got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") != "1" || !strings.Contains(got.Body.String(), "in time") {
			t.Errorf("with a database that is stuck: %d %s", got.Code, got.Body)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	close(next)
	waittest.Until(t, func() error {
		answer = ask(id, "If-None-Match", tag)
		if !strings.Contains(answer.Body.String(), `"state":"succeeded","ended":true`) {
			return errors.New(answer.Body.String())
		}
		return nil
	})
	if got := answer.Header().Get("Retry-After"); got != "" {
		t.Errorf("Retry-After of a job that has ended: %q", got)
	}
}

func TestReportOutsideOfAJob(t *testing.T) {
	t.Parallel()
	progress.Report(t.Context(), 1, 2, "nobody hears")
	if r := progress.From(t.Context()); r != nil {
		t.Errorf("%v", r)
	}
}

func TestConfigNamesTheVariable(t *testing.T) {
	t.Parallel()
	err := progress.Config{MaxNoteBytes: -1}.Validate()
	for _, variable := range []string{"WRITE_INTERVAL", "WRITE_TIMEOUT", "MAX_NOTE_BYTES", "MAX_READS", "READ_TIMEOUT"} {
		if err == nil || !strings.Contains(err.Error(), "PROGRESS_"+variable+"=") {
			t.Errorf("%v: does not name %s", err, variable)
		}
	}
}

// BenchmarkReport measures what a report costs the job's code, while what is
// reported is written to the database and sent to a stream.
func BenchmarkReport(b *testing.B) {
	usual := config()
	usual.WriteInterval = 250 * time.Millisecond
	run := func(name string, loop func(b *testing.B, ctx context.Context)) {
		b.Run(name, func(b *testing.B) {
			done := make(chan struct{})
			f := setup(b, workerstest.Database(b), usual, func(ctx context.Context, _ *river.Job[countArgs]) error {
				defer close(done)
				b.ReportAllocs()
				b.ResetTimer()
				loop(b, ctx)
				b.StopTimer()
				return nil
			})
			f.tracker.AddStream(progress.Stream{Publish: func(context.Context, progress.Update) error { return nil }})
			workerstest.Start(b, f.pool)
			f.enqueue(b, countArgs{})
			<-done
		})
	}
	run("by the context", func(b *testing.B, ctx context.Context) {
		for i := range int64(b.N) {
			progress.Report(ctx, i, int64(b.N), "row")
		}
	})
	run("by the reporter", func(b *testing.B, ctx context.Context) {
		r := progress.From(ctx)
		for i := range int64(b.N) {
			r.Report(i, int64(b.N), "row")
		}
	})
	b.Run("outside of a job", func(b *testing.B) {
		b.ReportAllocs()
		ctx := b.Context()
		for b.Loop() {
			progress.Report(ctx, 1, 2, "row")
		}
	})
}

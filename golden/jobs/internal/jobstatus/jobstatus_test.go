package jobstatus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"go.uber.org/goleak"

	"example.com/orders/internal/database"
	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/jobstatus"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/workers"
	"example.com/orders/internal/workers/workerstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An actArgs job does what its name says.
type actArgs struct {
	Act string `json:"act"`
}

func (actArgs) Kind() string { return "act" }

// A waitArgs job runs until the test lets go of it.
type waitArgs struct{}

func (waitArgs) Kind() string { return "wait" }

type actor struct {
	river.WorkerDefaults[actArgs]
}

func (actor) Work(ctx context.Context, job *river.Job[actArgs]) error {
	switch job.Args.Act {
	case "fail":
		return errors.New("no paper")
	case "crash":
		panic("secret")
	case "obey":
		<-ctx.Done()
		return ctx.Err()
	}
	return river.RecordOutput(ctx, map[string]string{"done": job.Args.Act})
}

// NextRetry is far off, to see jobs wait for it.
func (actor) NextRetry(*river.Job[actArgs]) time.Time { return time.Now().Add(time.Hour) }

type fixture struct {
	pool    *workers.Pool
	board   *jobstatus.Board
	release chan struct{} // ends the waiting jobs when it is closed
}

func config() jobstatus.Config {
	return jobstatus.Config{Retention: time.Hour, FailedRetention: 2 * time.Hour, MaxReads: 4, ReadTimeout: 10 * time.Second, MaxPage: 100}
}

func setup(t testing.TB, db *database.Pool, config jobstatus.Config) *fixture {
	t.Helper()
	limits := workerstest.Config()
	limits.Limits = map[string]int{"wait": 1}
	f := &fixture{pool: workerstest.New(t, db, limits), release: make(chan struct{})}
	workers.Add(f.pool, &actor{})
	workers.Add(f.pool, river.WorkFunc(func(context.Context, *river.Job[waitArgs]) error {
		<-f.release
		return errors.New("was told to stop")
	}))
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	board, err := jobstatus.New(f.pool, config, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	f.board = board
	return f
}

func (f *fixture) enqueue(t testing.TB, args river.JobArgs, opts *river.InsertOpts) int64 {
	t.Helper()
	result, err := f.pool.Enqueue(t.Context(), args, opts)
	if err != nil {
		t.Fatal(err)
	}
	return result.Job.ID
}

// await waits until the job is in the state, and returns what is shown of it.
func (f *fixture) await(t testing.TB, id int64, want jobstatus.State) jobstatus.Status {
	t.Helper()
	var s jobstatus.Status
	waittest.Until(t, func() (err error) {
		s, err = f.board.Get(t.Context(), id)
		if err == nil && s.State != want {
			err = fmt.Errorf("job %d is %s, want %s", id, s.State, want)
		}
		return err
	})
	return s
}

func mustHaveResult(t testing.TB, s jobstatus.Status) {
	t.Helper()
	var result struct{ Done string }
	if err := json.Unmarshal(s.Result, &result); err != nil || result.Done != "print" {
		t.Errorf("result %s, %v", s.Result, err)
	}
}

func TestEveryStateIsReachedAndShown(t *testing.T) {
	t.Parallel()
	f := setup(t, workerstest.Database(t), config())
	workerstest.Start(t, f.pool)
	t.Cleanup(func() { close(f.release) })

	running := f.enqueue(t, waitArgs{}, nil)
	f.await(t, running, jobstatus.Running)
	ids := map[jobstatus.State]int64{
		jobstatus.Queued:    f.enqueue(t, waitArgs{}, nil), // one at a time
		jobstatus.Scheduled: f.enqueue(t, actArgs{}, &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)}),
		jobstatus.Retrying:  f.enqueue(t, actArgs{"fail"}, nil),
		jobstatus.Succeeded: f.enqueue(t, actArgs{"print"}, nil),
		jobstatus.Failed:    f.enqueue(t, actArgs{"fail"}, &river.InsertOpts{MaxAttempts: 1}),
		jobstatus.Cancelled: f.enqueue(t, actArgs{}, &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)}),
	}
	if _, err := f.board.Cancel(t.Context(), ids[jobstatus.Cancelled]); err != nil {
		t.Fatal(err)
	}
	shown := make(map[jobstatus.State]jobstatus.Status)
	for state, id := range ids {
		shown[state] = f.await(t, id, state)
	}
	shown[jobstatus.Running] = f.await(t, running, jobstatus.Running)
	if _, err := f.board.Cancel(t.Context(), running); err != nil {
		t.Fatal(err)
	}
	shown[jobstatus.Cancelling] = f.await(t, running, jobstatus.Cancelling)

	for _, state := range jobstatus.States() {
		s, ok := shown[state]
		if !ok {
			t.Errorf("%s was not reached", state)
		}
		if final := s.FinishedAt != nil; final != state.Final() {
			t.Errorf("%s: finished at %v", state, s.FinishedAt)
		}
		if _, ok := s.Links["cancel"]; ok == state.Final() {
			t.Errorf("%s: link to cancel: %v", state, ok)
		}
		if (s.RunAt != nil) == state.Final() {
			t.Errorf("%s: run at %v", state, s.RunAt)
		}
	}
	mustHaveResult(t, shown[jobstatus.Succeeded])
	for state, attempts := range map[jobstatus.State]int{jobstatus.Retrying: 3, jobstatus.Failed: 1} {
		s := shown[state]
		if s.Error == nil || s.Error.Message != "no paper" || s.Error.Attempt != 1 || s.MaxAttempts != attempts {
			t.Errorf("%s: error %+v, %d attempts", state, s.Error, s.MaxAttempts)
		}
	}
	s := shown[jobstatus.Failed]
	if got := s.ExpiresAt.Sub(*s.FinishedAt); got != 2*time.Hour {
		t.Errorf("a failed job is kept %s, want 2h", got)
	}
	s = shown[jobstatus.Succeeded]
	if got := s.ExpiresAt.Sub(*s.FinishedAt); got != time.Hour {
		t.Errorf("a job that succeeded is kept %s, want 1h", got)
	}
}

func TestARunningJobIsCancelled(t *testing.T) {
	t.Parallel()
	f := setup(t, workerstest.Database(t), config())
	workerstest.Start(t, f.pool)
	id := f.enqueue(t, actArgs{"obey"}, nil)
	f.await(t, id, jobstatus.Running)
	if _, err := f.board.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s := f.await(t, id, jobstatus.Cancelled)
	if s.Error == nil || s.Error.Message != "the job was cancelled" {
		t.Errorf("error %+v", s.Error)
	}
	if _, err := f.board.Cancel(t.Context(), id); err != nil {
		t.Errorf("cancel again: %v", err)
	}
	done := f.enqueue(t, actArgs{"print"}, nil)
	f.await(t, done, jobstatus.Succeeded)
	if _, err := f.board.Cancel(t.Context(), done); !errors.Is(err, jobstatus.ErrFinished) {
		t.Errorf("cancel a job that succeeded: %v", err)
	}
	if _, err := f.board.Cancel(t.Context(), 1<<40); !errors.Is(err, jobstatus.ErrNotFound) {
		t.Errorf("cancel no job: %v", err)
	}
}

func TestAPanicIsNotTold(t *testing.T) {
	t.Parallel()
	f := setup(t, workerstest.Database(t), config())
	workerstest.Start(t, f.pool)
	s := f.await(t, f.enqueue(t, actArgs{"crash"}, &river.InsertOpts{MaxAttempts: 1}), jobstatus.Failed)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "secret") || strings.Contains(string(text), ".go:") {
		t.Errorf("told: %s", text)
	}
	if s.Error == nil || s.Error.Message != "the job crashed" {
		t.Errorf("error %+v", s.Error)
	}
}

// A result stays readable, through restarts and clean-ups, until its own
// retention ends; then it is gone. That the clean-up ran is seen by another job.
func TestAResultIsReadableUntilItsRetentionEnds(t *testing.T) {
	t.Parallel()
	db := workerstest.Database(t)
	var succeeded, cancelled int64
	for _, run := range []struct {
		completed, cancelled time.Duration
		gone                 *int64
	}{
		{time.Hour, time.Hour, nil},
		{time.Hour, time.Millisecond, &cancelled},
		{time.Millisecond, time.Millisecond, &succeeded},
	} {
		f := setup(t, db, config())
		f.pool.SetRetention(run.completed, run.cancelled)
		if err := f.pool.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if run.gone == nil {
			succeeded = f.enqueue(t, actArgs{"print"}, nil)
			cancelled = f.enqueue(t, waitArgs{}, &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)})
			if _, err := f.board.Cancel(t.Context(), cancelled); err != nil {
				t.Fatal(err)
			}
			f.await(t, cancelled, jobstatus.Cancelled)
		} else {
			waittest.Until(t, func() error {
				if s, err := f.board.Get(t.Context(), *run.gone); !errors.Is(err, jobstatus.ErrNotFound) {
					return fmt.Errorf("job %d: %s, %w", *run.gone, s.State, err)
				}
				return nil
			})
		}
		if run.gone != &succeeded {
			mustHaveResult(t, f.await(t, succeeded, jobstatus.Succeeded))
		}
		if err := f.pool.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheListIsPaged(t *testing.T) {
	t.Parallel()
	f := setup(t, workerstest.Database(t), config())
	workerstest.Start(t, f.pool)
	var want []int64
	for range 7 {
		want = append(want, f.enqueue(t, actArgs{}, &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)}))
	}
	slices.Reverse(want)
	f.enqueue(t, waitArgs{}, &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)})
	f.await(t, f.enqueue(t, actArgs{"print"}, nil), jobstatus.Succeeded)

	var got []int64
	q := jobstatus.Query{State: jobstatus.Scheduled, Kind: "act", Limit: 3}
	pages := 0
	for {
		page, err := f.board.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, job := range page.Jobs {
			var id int64
			if _, err := fmt.Sscan(job.ID, &id); err != nil {
				t.Fatal(err)
			}
			got = append(got, id)
		}
		if page.Next == "" {
			break
		}
		q.Cursor = page.Next
	}
	if diff := cmp.Diff(want, got); diff != "" || pages != 3 {
		t.Errorf("%d pages (-want +got):\n%s", pages, diff)
	}
	for _, cursor := range []string{"?", "bm90aGluZw", "LTE"} {
		if _, err := f.board.List(t.Context(), jobstatus.Query{Cursor: cursor, Limit: 1}); !errors.Is(err, jobstatus.ErrCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

// A read that can't have its turn says so; it does not pile up.
func TestReadsWaitTheirTurn(t *testing.T) {
	t.Parallel()
	db := workerstest.Database(t)
	c := config()
	c.MaxReads, c.ReadTimeout = 1, 50*time.Millisecond
	f := setup(t, db, c)
	workerstest.Start(t, f.pool)
	id := f.enqueue(t, actArgs{"print"}, nil)
	f.await(t, id, jobstatus.Succeeded)
	before := f.board.Reads("error") // the database may be slower than the timeout
	release := f.board.Occupy()
	mux := http.NewServeMux()
	mux.Handle("GET /jobs/{id}", httpapi.Handler(f.board.ServeJob))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("/jobs/%d", id), nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q: %s", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
	if errs, busy := f.board.Reads("error")-before, f.board.Reads("busy"); errs != 0 || busy != 1 {
		t.Errorf("counted %v errors and %v busy, want 0 and 1", errs, busy)
	}
	release()
	f.await(t, id, jobstatus.Succeeded)
}

// A database that does not answer is told from too many who ask.
func TestADatabaseThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	db := workerstest.Database(t)
	c := config()
	c.ReadTimeout = 50 * time.Millisecond
	f := setup(t, db, c)
	workerstest.Start(t, f.pool)
	id := f.enqueue(t, actArgs{"print"}, nil)
	f.await(t, id, jobstatus.Succeeded)
	mux := http.NewServeMux()
	mux.Handle("GET /jobs/{id}", httpapi.Handler(f.board.ServeJob))
	mux.Handle("GET /jobs", httpapi.Handler(f.board.ServeJobs))
	mux.Handle("POST /jobs/{id}/cancel", httpapi.Handler(f.board.ServeCancel))
	before := f.board.Reads("error")
	frozen := database.InTx(t.Context(), db, func(tx database.Tx) error {
		if err := freeze(t.Context(), tx); err != nil {
			return err
		}
		for _, request := range []string{fmt.Sprintf("GET /jobs/%d", id), "GET /jobs", fmt.Sprintf("POST /jobs/%d/cancel", id)} {
			method, path, _ := strings.Cut(request, " ")
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "did not answer in time") {
				t.Errorf("%s: %d, Retry-After %q: %s", request, w.Code, w.Header().Get("Retry-After"), w.Body)
			}
		}
		return nil
	})
	if frozen != nil {
		t.Fatal(frozen)
	}
	if errs, busy := f.board.Reads("error")-before, f.board.Reads("busy"); errs != 2 || busy != 0 {
		t.Errorf("counted %v errors and %v busy, want 2 and 0", errs, busy)
	}
	f.await(t, id, jobstatus.Succeeded)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for variable, change := range map[string]func(*jobstatus.Config){
		"JOBSTATUS_RETENTION":        func(c *jobstatus.Config) { c.Retention = 0 },
		"JOBSTATUS_FAILED_RETENTION": func(c *jobstatus.Config) { c.FailedRetention = -1 },
		"JOBSTATUS_MAX_READS":        func(c *jobstatus.Config) { c.MaxReads = 0 },
		"JOBSTATUS_READ_TIMEOUT":     func(c *jobstatus.Config) { c.ReadTimeout = 0 },
		"JOBSTATUS_MAX_PAGE":         func(c *jobstatus.Config) { c.MaxPage = 1001 },
	} {
		c := config()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%s: %v, want the variable named", variable, err)
		}
	}
}

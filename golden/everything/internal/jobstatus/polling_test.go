package jobstatus_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"example.com/orders/internal/database"
	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/jobstatus"
	"example.com/orders/internal/polling"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/workers/workerstest"
)

// mustChange returns the job's version, which must be another one than those in
// seen, and stay while the job does.
func mustChange(t testing.TB, source polling.Source, id int64, seen map[string]jobstatus.State) polling.Version {
	t.Helper()
	key := strconv.FormatInt(id, 10)
	version, err := source.Version(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	loaded, value, err := source.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	status, ok := value.(jobstatus.Status)
	if !ok || loaded.Tag != version.Tag {
		t.Fatalf("read as %v, loaded as %v: %v", version, loaded, value)
	}
	if state, ok := seen[version.Tag]; ok {
		t.Errorf("%s has the version that %s had: %s", status.State, state, version.Tag)
	}
	if version.Final != status.State.Final() {
		t.Errorf("%s: final %v", status.State, version.Final)
	}
	seen[version.Tag] = status.State
	return version
}

// Whatever a caller sees of a job changes its version.
func TestPolledVersionsFollowTheJob(t *testing.T) {
	t.Parallel()
	db := workerstest.Database(t)
	f := setup(t, db, config())
	source := f.board.Polled(db)
	workerstest.Start(t, f.pool)
	seen := make(map[string]jobstatus.State)

	waiting := f.enqueue(t, actArgs{"print"}, &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)})
	version := mustChange(t, source, waiting, seen)
	if version.Retry != time.Minute {
		t.Errorf("ask again in %s for a job that is due in an hour", version.Retry)
	}
	if _, err := f.board.Cancel(t.Context(), waiting); err != nil {
		t.Fatal(err)
	}
	mustChange(t, source, waiting, seen) // cancelled

	running := f.enqueue(t, waitArgs{}, nil)
	f.await(t, running, jobstatus.Running)
	mustChange(t, source, running, seen)
	queued := f.enqueue(t, waitArgs{}, nil) // one at a time
	mustChange(t, source, queued, seen)
	if _, err := f.board.Cancel(t.Context(), running); err != nil {
		t.Fatal(err)
	}
	f.await(t, running, jobstatus.Cancelling)
	mustChange(t, source, running, seen)
	close(f.release)
	f.await(t, running, jobstatus.Cancelled)
	mustChange(t, source, running, seen)

	retrying := f.enqueue(t, actArgs{"fail"}, nil)
	f.await(t, retrying, jobstatus.Retrying)
	mustChange(t, source, retrying, seen)
	failed := f.enqueue(t, actArgs{"fail"}, &river.InsertOpts{MaxAttempts: 1})
	f.await(t, failed, jobstatus.Failed)
	mustChange(t, source, failed, seen)
	succeeded := f.enqueue(t, actArgs{"print"}, nil)
	f.await(t, succeeded, jobstatus.Succeeded)
	mustChange(t, source, succeeded, seen)

	// Until when it can be read is part of the status.
	f.pool.SetRetention(3*time.Hour, time.Hour)
	mustChange(t, source, succeeded, seen)
	for _, key := range []string{"4711", "x", ""} {
		_, err := source.Version(t.Context(), key)
		_, _, err2 := source.Load(t.Context(), key)
		for _, err := range []error{err, err2} {
			if !errors.Is(err, polling.ErrNotFound) || !errors.Is(err, jobstatus.ErrNotFound) {
				t.Errorf("no job %q: %v", key, err)
			}
		}
	}
}

// Who waits for a job is told as the board tells everyone: that it is gone, that
// the database does not answer.
func TestPolledErrors(t *testing.T) {
	t.Parallel()
	db := workerstest.Database(t)
	c := config()
	c.ReadTimeout = 50 * time.Millisecond
	f := setup(t, db, c)
	workerstest.Start(t, f.pool)
	poller := polling.New(polling.Config{
		MaxWait: time.Minute, MaxWaiters: 10, MaxKeyWaiters: 10, MaxChecks: 1, ReadTimeout: time.Minute,
		WriteTimeout: time.Minute, Retry: time.Second, ReturnRate: 1,
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	jobs := poller.Resource(f.board.Polled(db))
	f.board.AnswerWith(func(w http.ResponseWriter, r *http.Request, id int64) error {
		return jobs.Serve(w, r, strconv.FormatInt(id, 10))
	})
	mux := http.NewServeMux()
	mux.Handle("GET /jobs/{id}", httpapi.Handler(f.board.ServeJob))
	ask := func(id int64, query string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("/jobs/%d%s", id, query), nil))
		return w
	}
	id := f.enqueue(t, actArgs{"print"}, nil)
	f.await(t, id, jobstatus.Succeeded)
	for query, want := range map[string]int{"": http.StatusOK, "?wait=soon": http.StatusBadRequest} {
		// The database may be slower than the timeout.
		waittest.Until(t, func() error {
			if w := ask(id, query); w.Code != want {
				return fmt.Errorf("%q: %d %s", query, w.Code, w.Body)
			}
			return nil
		})
	}
	waittest.Until(t, func() error {
		if w := ask(4711, ""); w.Code != http.StatusNotFound {
			return fmt.Errorf("%d %s", w.Code, w.Body)
		}
		return nil
	})
	frozen := database.InTx(t.Context(), db, func(tx database.Tx) error {
		if err := freeze(t.Context(), tx); err != nil {
			return err
		}
		if w := ask(id, ""); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%d %v: %s", w.Code, w.Header(), w.Body)
		}
		return nil
	})
	if frozen != nil {
		t.Fatal(frozen)
	}
}

package workers_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/goleak"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/workers"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/workers/workerstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type noteArgs struct {
	Text string `json:"text"`
}

func (noteArgs) Kind() string { return "note" }

// eventually waits until the condition returns nil, and fails the test with its
// last error when that takes too long.
func eventually(t testing.TB, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still not so after 90 s: %v", err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

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

package progress

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"example.com/orders/internal/workers"
)

// sweepArgs is the job that deletes the progress of jobs that are gone. Nobody
// sees it any more: it is there as long as its job.
type sweepArgs struct{}

// Kind implements [river.JobArgs].
func (sweepArgs) Kind() string { return "progress_sweep" }

type sweepWorker struct {
	river.WorkerDefaults[sweepArgs]
	tracker *Tracker
}

const (
	// sweepBatch bounds how long one deletion holds the database.
	sweepBatch = 1000
	sweepEvery = 15 * time.Minute
)

// Work implements [river.Worker].
func (w *sweepWorker) Work(ctx context.Context, _ *river.Job[sweepArgs]) error {
	_, err := w.tracker.Sweep(ctx)
	return err
}

// Sweep deletes the progress of jobs that are gone, and returns of how many.
func (t *Tracker) Sweep(ctx context.Context) (deleted int, err error) {
	for {
		n, err := deleteOrphans(ctx, t.db, sweepBatch)
		if err != nil {
			return deleted, fmt.Errorf("delete the progress of jobs that are gone: %w", err)
		}
		deleted += n
		if n < sweepBatch {
			return deleted, nil
		}
	}
}

func (t *Tracker) addSweep(pool *workers.Pool) {
	workers.Add(pool, &sweepWorker{tracker: t})
	pool.AddPeriodic(sweepArgs{}.Kind(), workers.Every(sweepEvery), func() (river.JobArgs, *river.InsertOpts) {
		return sweepArgs{}, &river.InsertOpts{MaxAttempts: 1} // the next one comes anyway
	})
}

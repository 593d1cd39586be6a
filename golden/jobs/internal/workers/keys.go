package workers

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"example.com/orders/internal/database"
)

// A keyRecord is what is remembered of the request that first bore a key.
type keyRecord struct {
	requestHash []byte
	jobID       int64
}

// cleanupArgs is the job that forgets the keys that have expired.
type cleanupArgs struct{}

// Kind implements [river.JobArgs].
func (cleanupArgs) Kind() string { return "workers_cleanup" }

type cleanupWorker struct {
	river.WorkerDefaults[cleanupArgs]
	db *database.Pool
}

// cleanupBatch bounds how long one deletion holds the database.
const cleanupBatch = 1000

// Work implements [river.Worker].
func (w *cleanupWorker) Work(ctx context.Context, _ *river.Job[cleanupArgs]) error {
	for {
		n, err := deleteKeys(ctx, w.db, time.Now(), cleanupBatch)
		if err != nil {
			return fmt.Errorf("forget expired keys: %w", err)
		}
		if n < cleanupBatch {
			return nil
		}
	}
}

// addCleanup registers the cleanup, once an hour.
func (p *Pool) addCleanup() {
	Add(p, &cleanupWorker{db: p.db})
	p.AddPeriodic(cleanupArgs{}.Kind(), Every(time.Hour), func() (river.JobArgs, *river.InsertOpts) {
		return cleanupArgs{}, &river.InsertOpts{MaxAttempts: 1} // the next one comes anyway
	})
}

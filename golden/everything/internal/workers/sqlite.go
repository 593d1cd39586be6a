package workers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river/riverdriver/riversqlite"

	"example.com/orders/internal/database"
)

func driver(db *database.Pool) *riversqlite.Driver {
	return riversqlite.New(db)
}

// whileLocked calls fn: one process has the database to itself.
func whileLocked(_ context.Context, db *database.Pool, fn func(*database.Pool) error) error {
	return fn(db)
}

const countJobsSQL = `
	SELECT queue, state, count(*), unixepoch(min(scheduled_at), 'subsec')
	FROM river_job
	WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled')
	GROUP BY state, queue`

// countJobs adds the jobs that have not ended to counts. It reads an index
// alone, and as many entries as there are such jobs.
func countJobs(ctx context.Context, db *database.Pool, counts map[queueState]queueCount) (err error) {
	rows, err := db.QueryContext(ctx, countJobsSQL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			key    queueState
			count  queueCount
			oldest sql.NullFloat64
		)
		if err := rows.Scan(&key.queue, &key.state, &count.jobs, &oldest); err != nil {
			return fmt.Errorf("scan: %w", err)
		}
		count.oldest = time.UnixMilli(int64(oldest.Float64 * 1000))
		counts[key] = count
	}
	return rows.Err()
}

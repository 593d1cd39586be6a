package workers

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"example.com/orders/internal/database"
)

func driver(db *database.Pool) *riverpgxv5.Driver {
	return riverpgxv5.New(db)
}

// migrationLock is the number of the advisory lock that is held while River's
// tables are migrated. It is made up.
const migrationLock = 5_184_731_019_277_410_306

// whileLocked calls fn while no other instance is in it, on this database, with a
// pool of its own: a migration may take long, and the wait for the others with it.
// The lock is held by a connection of that pool, and ends with it.
func whileLocked(ctx context.Context, db *database.Pool, fn func(*database.Pool) error) error {
	config := database.Unbounded(db)
	config.MinConns, config.MinIdleConns, config.MaxConns = 0, 0, 2 // the lock's, and fn's
	own, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("migration lock: %w", err)
	}
	defer own.Close()
	conn, err := own.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("migration lock: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("migration lock: %w", err)
	}
	return fn(own)
}

const countJobsSQL = `
	SELECT queue, state::text, count(*), min(scheduled_at)
	FROM river_job
	WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled')
	GROUP BY state, queue`

// countJobs adds the jobs that have not ended to counts. It reads an index
// alone, and as many entries as there are such jobs.
func countJobs(ctx context.Context, db *database.Pool, counts map[queueState]queueCount) error {
	rows, err := db.Query(ctx, countJobsSQL)
	if err != nil {
		return err
	}
	var (
		key    queueState
		jobs   int
		oldest time.Time
	)
	_, err = pgx.ForEachRow(rows, []any{&key.queue, &key.state, &jobs, &oldest}, func() error {
		counts[key] = queueCount{jobs: jobs, oldest: oldest}
		return nil
	})
	return err
}

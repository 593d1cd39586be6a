package dlq

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"example.com/orders/internal/database"
)

const lockJobSQL = `SELECT state FROM river_job WHERE id = ?`

// lockJob returns the job's state, or "" where there is no such job. It stays so
// until the end of the transaction, which has the database to itself.
func lockJob(ctx context.Context, tx database.Tx, id int64) (string, error) {
	var state string
	err := tx.QueryRowContext(ctx, lockJobSQL, id).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return state, err
}

// The sum of an index's entries, no row is read.
const countDeadJobsSQL = `
	SELECT count(*), unixepoch(min(finalized_at), 'subsec')
	FROM river_job
	WHERE state = 'discarded' AND finalized_at IS NOT NULL`

func countDeadJobs(ctx context.Context, db *database.Pool) (int, time.Time, error) {
	var (
		n      int
		oldest sql.NullFloat64
	)
	if err := db.QueryRowContext(ctx, countDeadJobsSQL).Scan(&n, &oldest); err != nil {
		return 0, time.Time{}, fmt.Errorf("count dead jobs: %w", err)
	}
	return n, time.UnixMilli(int64(oldest.Float64 * 1000)), nil
}

// isDuplicate reports whether err is the refusal of a unique index.
func isDuplicate(err error) bool {
	return strings.Contains(err.Error(), "UNIQUE constraint failed")
}

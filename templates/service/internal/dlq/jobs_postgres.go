//go:build postgres

package dlq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

const lockJobSQL = `SELECT state::text FROM river_job WHERE id = $1 FOR UPDATE`

// lockJob returns the job's state, or "" where there is no such job. It stays so
// until the end of the transaction.
func lockJob(ctx context.Context, tx database.Tx, id int64) (string, error) {
	var state string
	err := tx.QueryRow(ctx, lockJobSQL, id).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return state, err
}

// It reads an index's entries alone.
const countDeadJobsSQL = `
	SELECT count(*), coalesce(min(finalized_at), 'epoch')
	FROM river_job
	WHERE state = 'discarded' AND finalized_at IS NOT NULL`

func countDeadJobs(ctx context.Context, db *database.Pool) (n int, oldest time.Time, err error) {
	if err := db.QueryRow(ctx, countDeadJobsSQL).Scan(&n, &oldest); err != nil {
		return 0, time.Time{}, fmt.Errorf("count dead jobs: %w", err)
	}
	return n, oldest, nil
}

// isDuplicate reports whether err is the refusal of a unique index.
func isDuplicate(err error) bool {
	var refusal *pgconn.PgError
	return errors.As(err, &refusal) && refusal.Code == "23505" // unique_violation
}

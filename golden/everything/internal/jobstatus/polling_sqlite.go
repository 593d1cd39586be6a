package jobstatus

import (
	"context"
	"database/sql"
	"errors"

	"example.com/orders/internal/database"
)

// A job that has ended keeps its metadata, where the result is: it need not be
// read.
const readMarkSQL = `
	SELECT state, scheduled_at, json_array(
		attempt, max_attempts, attempted_at, finalized_at, json_array_length(errors),
		CASE WHEN finalized_at IS NULL THEN hex(metadata) END
	)
	FROM river_job
	WHERE id = ?`

func readMark(ctx context.Context, db *database.Pool, id int64) (m mark, err error) {
	err = db.QueryRowContext(ctx, readMarkSQL, id).Scan(&m.state, &m.runAt, &m.rest)
	if errors.Is(err, sql.ErrNoRows) {
		return m, ErrNotFound
	}
	return m, err
}

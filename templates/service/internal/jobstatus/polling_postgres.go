//go:build postgres

package jobstatus

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

// A job that has ended keeps its metadata, where the result is: it need not be
// read.
const readMarkSQL = `
	SELECT state::text, scheduled_at, jsonb_build_array(
		attempt, max_attempts, attempted_at, finalized_at, cardinality(errors),
		CASE WHEN finalized_at IS NULL THEN md5(metadata::text) END
	)::text
	FROM river_job
	WHERE id = $1`

func readMark(ctx context.Context, db *database.Pool, id int64) (m mark, err error) {
	err = db.QueryRow(ctx, readMarkSQL, id).Scan(&m.state, &m.runAt, &m.rest)
	if errors.Is(err, pgx.ErrNoRows) {
		return m, ErrNotFound
	}
	return m, err
}

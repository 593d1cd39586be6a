package progress

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"example.com/orders/internal/database"
)

const readSQL = `
	SELECT j.state, j.attempt + coalesce(json_extract(j.metadata, '$.snoozes'), 0), j.scheduled_at,
		p.attempt, p.done, p.total, p.percent, p.note, p.attempt_ended, p.updated_at
	FROM river_job j LEFT JOIN progress_jobs p ON p.job_id = j.id
	WHERE j.id = $1`

func saveRow(ctx context.Context, db *database.Pool, u Update, percent int) (int64, error) {
	result, err := db.ExecContext(ctx, saveSQL,
		u.Job, u.Attempt, u.Done, u.Total, percent, u.Note, u.AttemptEnded, u.UpdatedAt.UnixMilli())
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func readRow(ctx context.Context, db *database.Pool, id int64) (row, error) {
	var (
		r                                       row
		attempt, done, total, percent, updateAt sql.NullInt64
		note                                    sql.NullString
		ended                                   sql.NullBool
	)
	err := db.QueryRowContext(ctx, readSQL, id).Scan(&r.state, &r.takes, &r.due,
		&attempt, &done, &total, &percent, &note, &ended, &updateAt)
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, ErrNotFound
	}
	if err != nil {
		return row{}, fmt.Errorf("read the progress of job %d: %w", id, err)
	}
	if attempt.Valid {
		at := time.UnixMilli(updateAt.Int64).UTC()
		r.update = &Update{
			Job: id, Attempt: attempt.Int64, Done: done.Int64, Total: total.Int64,
			Note: note.String, AttemptEnded: ended.Bool, UpdatedAt: &at,
		}
		if p := int(percent.Int64); p != unknown {
			r.update.Percent = &p
		}
	}
	return r, nil
}

func deleteOrphans(ctx context.Context, db *database.Pool, limit int) (int, error) {
	result, err := db.ExecContext(ctx, deleteOrphansSQL, limit)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

//go:build postgres

package progress

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

const readSQL = `
	SELECT j.state::text, j.attempt + coalesce((j.metadata->>'snoozes')::bigint, 0), j.scheduled_at,
		p.attempt, p.done, p.total, p.percent, p.note, p.attempt_ended, p.updated_at
	FROM river_job j LEFT JOIN progress_jobs p ON p.job_id = j.id
	WHERE j.id = $1`

func saveRow(ctx context.Context, db *database.Pool, u Update, percent int) (int64, error) {
	tag, err := db.Exec(ctx, saveSQL, u.Job, u.Attempt, u.Done, u.Total, percent, u.Note, u.AttemptEnded, *u.UpdatedAt)
	return tag.RowsAffected(), err
}

func readRow(ctx context.Context, db *database.Pool, id int64) (row, error) {
	var (
		r                    row
		attempt, done, total *int64
		percent              *int
		note                 *string
		ended                *bool
		updatedAt            *time.Time
	)
	err := db.QueryRow(ctx, readSQL, id).Scan(&r.state, &r.takes, &r.due,
		&attempt, &done, &total, &percent, &note, &ended, &updatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return row{}, ErrNotFound
	}
	if err != nil {
		return row{}, fmt.Errorf("read the progress of job %d: %w", id, err)
	}
	if attempt != nil { // then none is nil
		at := updatedAt.UTC()
		r.update = &Update{Job: id, Attempt: *attempt, Done: *done, Total: *total, Note: *note, AttemptEnded: *ended, UpdatedAt: &at}
		if *percent != unknown {
			r.update.Percent = percent
		}
	}
	return r, nil
}

func deleteOrphans(ctx context.Context, db *database.Pool, limit int) (int, error) {
	tag, err := db.Exec(ctx, deleteOrphansSQL, limit)
	return int(tag.RowsAffected()), err
}

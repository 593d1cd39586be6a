package progress

import (
	"context"
	"fmt"
)

const (
	// A row goes on within an attempt, or to a newer attempt, and never back: an
	// attempt that was taken for dead and lives, or a write that comes late, loses.
	saveSQL = `
		INSERT INTO progress_jobs (job_id, attempt, done, total, percent, note, attempt_ended, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (job_id) DO UPDATE SET
			attempt = excluded.attempt, done = excluded.done, total = excluded.total, percent = excluded.percent,
			note = excluded.note, attempt_ended = excluded.attempt_ended, updated_at = excluded.updated_at
		WHERE progress_jobs.attempt < excluded.attempt
			OR progress_jobs.attempt = excluded.attempt AND progress_jobs.done <= excluded.done`
	deleteOrphansSQL = `
		DELETE FROM progress_jobs WHERE job_id IN (
			SELECT job_id FROM progress_jobs p
			WHERE NOT EXISTS (SELECT 1 FROM river_job j WHERE j.id = p.job_id)
			LIMIT $1
		)`
)

// save writes an update, unless there is a newer one, and reports whether it did.
func (t *Tracker) save(ctx context.Context, u Update) (kept bool, err error) {
	percent := unknown
	if u.Percent != nil {
		percent = *u.Percent
	}
	n, err := saveRow(ctx, t.db, u, percent)
	result := "ok"
	switch {
	case err != nil:
		result = "error"
		err = fmt.Errorf("save the progress of job %d: %w", u.Job, err)
	case n == 0:
		result = "stale"
	}
	t.metrics.writes.WithLabelValues(result).Inc()
	return n > 0, err
}

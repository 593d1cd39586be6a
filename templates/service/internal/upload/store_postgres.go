//go:build postgres

package upload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

// store keeps the rows.
type store struct{ db *database.Pool }

func scan(row pgx.CollectableRow) (Upload, error) { return scanRow(row) }

func scanRow(row pgx.Row) (Upload, error) {
	var u Upload
	err := row.Scan(&u.ID, &u.Key, &u.Name, &u.Type, &u.Size, &u.SHA256, &u.PartSize, &u.multipartID,
		&u.Status, &u.Reason, &u.CreatedAt, &u.UpdatedAt, &u.ExpiresAt)
	return u, err
}

func (s store) insert(ctx context.Context, u Upload, sweepAt time.Time) error {
	const query = `INSERT INTO uploads (` + columns + `, sweep_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`
	_, err := s.db.Exec(ctx, query, u.ID, u.Key, u.Name, u.Type, u.Size, u.SHA256, u.PartSize, u.multipartID,
		u.Status, u.Reason, u.CreatedAt, u.UpdatedAt, u.ExpiresAt, sweepAt)
	if err != nil {
		return fmt.Errorf("insert upload: %w", err)
	}
	return nil
}

func (s store) byID(ctx context.Context, id string) (Upload, error) {
	return one(s.db.QueryRow(ctx, `SELECT `+columns+` FROM uploads WHERE id = $1`, id))
}

func (s store) byKey(ctx context.Context, key string) (Upload, error) {
	return one(s.db.QueryRow(ctx, `SELECT `+columns+` FROM uploads WHERE object_key = $1`, key))
}

func one(row pgx.Row) (Upload, error) {
	u, err := scanRow(row)
	if errors.Is(err, pgx.ErrNoRows) {
		return Upload{}, ErrNotFound
	}
	if err != nil {
		return Upload{}, fmt.Errorf("read upload: %w", err)
	}
	return u, nil
}

// setMultipartID notes the storage's id, where none is noted yet, and returns
// the one that is.
func (s store) setMultipartID(ctx context.Context, id, multipartID string) (string, error) {
	const query = `UPDATE uploads SET multipart_id = CASE multipart_id WHEN '' THEN $1 ELSE multipart_id END WHERE id = $2 RETURNING multipart_id`
	var noted string
	if err := s.db.QueryRow(ctx, query, multipartID, id).Scan(&noted); err != nil {
		return "", fmt.Errorf("note multipart id: %w", err)
	}
	return noted, nil
}

// apply makes the change and calls then in the same transaction. It returns
// false, and calls nothing, where the upload is not in the state to change from.
func (s store) apply(ctx context.Context, c change, then func(database.Tx) error) (bool, error) {
	const query = `UPDATE uploads SET status = $1, reason = $2, updated_at = $3, sweep_at = $4 WHERE id = $5 AND status = $6`
	changed := false
	err := database.InTx(ctx, s.db, func(tx database.Tx) error {
		var sweepAt *time.Time
		if !c.sweepAt.IsZero() {
			sweepAt = &c.sweepAt
		}
		result, err := tx.Exec(ctx, query, c.to, c.reason, c.at, sweepAt, c.id, c.from)
		if err != nil || result.RowsAffected() == 0 {
			return err
		}
		changed = true
		return then(tx)
	})
	if err != nil {
		return false, fmt.Errorf("upload %s becomes %s: %w", c.id, c.to, err)
	}
	return changed, nil
}

// due returns up to limit uploads that are to be swept at now, the longest due
// first.
func (s store) due(ctx context.Context, now time.Time, limit int) ([]Upload, error) {
	rows, err := s.db.Query(ctx, `SELECT `+columns+` FROM uploads WHERE sweep_at <= $1 ORDER BY sweep_at LIMIT $2`, now, limit)
	if err != nil {
		return nil, fmt.Errorf("read due uploads: %w", err)
	}
	due, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("read due uploads: %w", err)
	}
	return due, nil
}

func (s store) countDue(ctx context.Context, now time.Time) (int, error) {
	var n int
	if err := s.db.QueryRow(ctx, `SELECT count(*) FROM uploads WHERE sweep_at <= $1`, now).Scan(&n); err != nil {
		return 0, fmt.Errorf("count due uploads: %w", err)
	}
	return n, nil
}

func (s store) postpone(ctx context.Context, id string, until time.Time) error {
	return s.exec(ctx, `UPDATE uploads SET sweep_at = $1 WHERE id = $2`, until, id)
}

func (s store) swept(ctx context.Context, id string) error {
	return s.exec(ctx, `UPDATE uploads SET sweep_at = NULL WHERE id = $1`, id)
}

// prune deletes up to limit rows of uploads that came to nothing before then.
func (s store) prune(ctx context.Context, before time.Time, limit int) error {
	return s.exec(ctx, `DELETE FROM uploads WHERE id IN (
		SELECT id FROM uploads WHERE status IN ('failed', 'aborted', 'deleted') AND sweep_at IS NULL AND updated_at < $1 LIMIT $2)`,
		before, limit)
}

func (s store) exec(ctx context.Context, query string, args ...any) error {
	if _, err := s.db.Exec(ctx, query, args...); err != nil {
		return fmt.Errorf("write uploads: %w", err)
	}
	return nil
}

package upload

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"example.com/orders/internal/database"
)

// store keeps the rows. Times are milliseconds since 1970.
type store struct{ db *database.Pool }

func scan(row interface{ Scan(...any) error }) (Upload, error) {
	var u Upload
	var created, updated, expires int64
	err := row.Scan(&u.ID, &u.Key, &u.Name, &u.Type, &u.Size, &u.SHA256, &u.PartSize, &u.multipartID,
		&u.Status, &u.Reason, &created, &updated, &expires)
	u.CreatedAt, u.UpdatedAt, u.ExpiresAt = time.UnixMilli(created), time.UnixMilli(updated), time.UnixMilli(expires)
	return u, err
}

func (s store) insert(ctx context.Context, u Upload, sweepAt time.Time) error {
	const query = `INSERT INTO uploads (` + columns + `, sweep_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	_, err := s.db.ExecContext(ctx, query, u.ID, u.Key, u.Name, u.Type, u.Size, u.SHA256, u.PartSize, u.multipartID,
		u.Status, u.Reason, u.CreatedAt.UnixMilli(), u.UpdatedAt.UnixMilli(), u.ExpiresAt.UnixMilli(), sweepAt.UnixMilli())
	if err != nil {
		return fmt.Errorf("insert upload: %w", err)
	}
	return nil
}

func (s store) byID(ctx context.Context, id string) (Upload, error) {
	return one(s.db.QueryRowContext(ctx, `SELECT `+columns+` FROM uploads WHERE id = ?`, id))
}

func (s store) byKey(ctx context.Context, key string) (Upload, error) {
	return one(s.db.QueryRowContext(ctx, `SELECT `+columns+` FROM uploads WHERE object_key = ?`, key))
}

func one(row *sql.Row) (Upload, error) {
	u, err := scan(row)
	if errors.Is(err, sql.ErrNoRows) {
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
	const query = `UPDATE uploads SET multipart_id = CASE multipart_id WHEN '' THEN ? ELSE multipart_id END WHERE id = ? RETURNING multipart_id`
	var noted string
	if err := s.db.QueryRowContext(ctx, query, multipartID, id).Scan(&noted); err != nil {
		return "", fmt.Errorf("note multipart id: %w", err)
	}
	return noted, nil
}

// apply makes the change and calls then in the same transaction. It returns
// false, and calls nothing, where the upload is not in the state to change from.
func (s store) apply(ctx context.Context, c change, then func(database.Tx) error) (bool, error) {
	const query = `UPDATE uploads SET status = ?, reason = ?, updated_at = ?, sweep_at = ? WHERE id = ? AND status = ?`
	changed := false
	err := database.InTx(ctx, s.db, func(tx database.Tx) error {
		sweepAt := sql.NullInt64{Int64: c.sweepAt.UnixMilli(), Valid: !c.sweepAt.IsZero()}
		result, err := tx.ExecContext(ctx, query, c.to, c.reason, c.at.UnixMilli(), sweepAt, c.id, c.from)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil || n == 0 {
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
func (s store) due(ctx context.Context, now time.Time, limit int) (_ []Upload, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+columns+` FROM uploads WHERE sweep_at <= ? ORDER BY sweep_at LIMIT ?`, now.UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("read due uploads: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var due []Upload
	for rows.Next() {
		u, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read due uploads: %w", err)
		}
		due = append(due, u)
	}
	return due, rows.Err()
}

func (s store) countDue(ctx context.Context, now time.Time) (int, error) {
	var n int
	err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM uploads WHERE sweep_at <= ?`, now.UnixMilli()).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count due uploads: %w", err)
	}
	return n, nil
}

func (s store) postpone(ctx context.Context, id string, until time.Time) error {
	return s.exec(ctx, `UPDATE uploads SET sweep_at = ? WHERE id = ?`, until.UnixMilli(), id)
}

func (s store) swept(ctx context.Context, id string) error {
	return s.exec(ctx, `UPDATE uploads SET sweep_at = NULL WHERE id = ?`, id)
}

// prune deletes up to limit rows of uploads that came to nothing before then.
func (s store) prune(ctx context.Context, before time.Time, limit int) error {
	return s.exec(ctx, `DELETE FROM uploads WHERE id IN (
		SELECT id FROM uploads WHERE status IN ('failed', 'aborted', 'deleted') AND sweep_at IS NULL AND updated_at < ? LIMIT ?)`,
		before.UnixMilli(), limit)
}

func (s store) exec(ctx context.Context, query string, args ...any) error {
	if _, err := s.db.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("write uploads: %w", err)
	}
	return nil
}

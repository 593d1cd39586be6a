package workers

import (
	"context"
	"fmt"
	"time"

	"example.com/orders/internal/database"
)

const (
	claimKeySQL = `
		INSERT INTO workers_keys (key, request_hash, job_id, expires_at) VALUES ($1, $2, 0, $3)
		ON CONFLICT (key) DO UPDATE
		SET request_hash = excluded.request_hash, job_id = 0, expires_at = excluded.expires_at
		WHERE workers_keys.expires_at <= $4`
	getKeySQL     = `SELECT request_hash, job_id FROM workers_keys WHERE key = $1`
	setKeyJobSQL  = `UPDATE workers_keys SET job_id = $1 WHERE key = $2`
	deleteKeysSQL = `
		DELETE FROM workers_keys
		WHERE key IN (SELECT key FROM workers_keys WHERE expires_at <= $1 LIMIT $2)`
)

// claimKey takes the key for this request until expires, or returns what is
// remembered of the request that has it.
func claimKey(ctx context.Context, tx database.Tx, key string, requestHash []byte, now, expires time.Time) (*keyRecord, error) {
	result, err := tx.ExecContext(ctx, claimKeySQL, key, requestHash, expires.UnixMilli(), now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("claim key: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return nil, fmt.Errorf("claim key: %w", err)
	}
	if n == 1 {
		return nil, nil
	}
	var r keyRecord
	if err := tx.QueryRowContext(ctx, getKeySQL, key).Scan(&r.requestHash, &r.jobID); err != nil {
		return nil, fmt.Errorf("get key: %w", err)
	}
	return &r, nil
}

// setKeyJob notes the job of the request that claimed the key.
func setKeyJob(ctx context.Context, tx database.Tx, key string, jobID int64) error {
	if _, err := tx.ExecContext(ctx, setKeyJobSQL, jobID, key); err != nil {
		return fmt.Errorf("set key: %w", err)
	}
	return nil
}

// deleteKeys deletes at most limit keys that have expired, and returns how many.
func deleteKeys(ctx context.Context, db *database.Pool, now time.Time, limit int) (int, error) {
	result, err := db.ExecContext(ctx, deleteKeysSQL, now.UnixMilli(), limit)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

package upload

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"example.com/orders/internal/database"
)

func insertInspection(ctx context.Context, tx database.Tx, id string, in Inspection) error {
	const query = `INSERT INTO upload_inspections (upload_id, job_id, status, detected, error, updated_at) VALUES (?, ?, ?, ?, ?, ?)`
	if _, err := tx.ExecContext(ctx, query, id, in.Job, in.Status, in.Detected, in.Error, in.UpdatedAt.UnixMilli()); err != nil {
		return fmt.Errorf("insert inspection: %w", err)
	}
	return nil
}

func (s store) setInspection(ctx context.Context, id string, in Inspection) error {
	return s.exec(ctx, `UPDATE upload_inspections SET status = ?, detected = ?, error = ?, updated_at = ? WHERE upload_id = ?`,
		in.Status, in.Detected, in.Error, in.UpdatedAt.UnixMilli(), id)
}

func (s store) inspection(ctx context.Context, id string) (Inspection, error) {
	var in Inspection
	var updated int64
	row := s.db.QueryRowContext(ctx, `SELECT job_id, status, detected, error, updated_at FROM upload_inspections WHERE upload_id = ?`, id)
	err := row.Scan(&in.Job, &in.Status, &in.Detected, &in.Error, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		return Inspection{}, ErrNotFound
	}
	if err != nil {
		return Inspection{}, fmt.Errorf("read inspection: %w", err)
	}
	in.UpdatedAt = time.UnixMilli(updated)
	return in, nil
}

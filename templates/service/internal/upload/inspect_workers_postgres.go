//go:build postgres

package upload

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

func insertInspection(ctx context.Context, tx database.Tx, id string, in Inspection) error {
	const query = `INSERT INTO upload_inspections (upload_id, job_id, status, detected, error, updated_at) VALUES ($1, $2, $3, $4, $5, $6)`
	if _, err := tx.Exec(ctx, query, id, in.Job, in.Status, in.Detected, in.Error, in.UpdatedAt); err != nil {
		return fmt.Errorf("insert inspection: %w", err)
	}
	return nil
}

func (s store) setInspection(ctx context.Context, id string, in Inspection) error {
	return s.exec(ctx, `UPDATE upload_inspections SET status = $1, detected = $2, error = $3, updated_at = $4 WHERE upload_id = $5`,
		in.Status, in.Detected, in.Error, in.UpdatedAt, id)
}

func (s store) inspection(ctx context.Context, id string) (Inspection, error) {
	var in Inspection
	row := s.db.QueryRow(ctx, `SELECT job_id, status, detected, error, updated_at FROM upload_inspections WHERE upload_id = $1`, id)
	err := row.Scan(&in.Job, &in.Status, &in.Detected, &in.Error, &in.UpdatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return Inspection{}, ErrNotFound
	}
	if err != nil {
		return Inspection{}, fmt.Errorf("read inspection: %w", err)
	}
	return in, nil
}

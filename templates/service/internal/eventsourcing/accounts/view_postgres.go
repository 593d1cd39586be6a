//go:build postgres

package accounts

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

func exec(ctx context.Context, tx database.Tx, query string, args ...any) error {
	_, err := tx.Exec(ctx, query, args...)
	return err
}

func list(ctx context.Context, db *database.Pool, after string, limit int) ([]Balance, error) {
	rows, err := db.Query(ctx, listSQL, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Balance])
}

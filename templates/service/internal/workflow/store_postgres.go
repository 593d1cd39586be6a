//go:build postgres

package workflow

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

func exec(ctx context.Context, tx database.Tx, statement string, args ...any) (int64, error) {
	tag, err := tx.Exec(ctx, statement, args...)
	return tag.RowsAffected(), err
}

func queryRow(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, statement string, args ...any,
) scanner {
	return db.QueryRow(ctx, statement, args...)
}

func query(ctx context.Context, db *database.Pool, statement string, args []any, each func(scanner) error) error {
	rows, err := db.Query(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func isNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }

package workflow

import (
	"context"
	"database/sql"
	"errors"

	"example.com/orders/internal/database"
)

func exec(ctx context.Context, tx database.Tx, statement string, args ...any) (int64, error) {
	result, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func queryRow(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, statement string, args ...any,
) scanner {
	return db.QueryRowContext(ctx, statement, args...)
}

func query(ctx context.Context, db *database.Pool, statement string, args []any, each func(scanner) error) (err error) {
	rows, err := db.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

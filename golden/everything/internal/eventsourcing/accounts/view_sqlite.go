package accounts

import (
	"context"
	"errors"

	"example.com/orders/internal/database"
)

func exec(ctx context.Context, tx database.Tx, query string, args ...any) error {
	_, err := tx.ExecContext(ctx, query, args...)
	return err
}

func list(ctx context.Context, db *database.Pool, after string, limit int) (all []Balance, err error) {
	rows, err := db.QueryContext(ctx, listSQL, after, limit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var b Balance
		if err := rows.Scan(&b.Account, &b.Owner, &b.Cents); err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, rows.Err()
}

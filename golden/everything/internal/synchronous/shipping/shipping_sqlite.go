package shipping

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"example.com/orders/internal/database"
)

func rate(ctx context.Context, db *database.Pool, zone string, grams int64) (cents int64, err error) {
	err = db.QueryRowContext(ctx, rateSQL, zone, grams).Scan(&cents)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, ErrNoRate
	}
	if err != nil {
		return 0, fmt.Errorf("rate of %d g to %s: %w", grams, zone, err)
	}
	return cents, nil
}

// days returns 0 for a zone of which it is not known.
func days(ctx context.Context, db *database.Pool, zone string) (n int, err error) {
	err = db.QueryRowContext(ctx, daysSQL, zone).Scan(&n)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("days to %s: %w", zone, err)
	}
	return n, nil
}

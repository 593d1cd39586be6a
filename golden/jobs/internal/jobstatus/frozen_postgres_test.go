package jobstatus_test

import (
	"context"

	"example.com/orders/internal/database"
)

// freeze makes all others who read jobs wait for the transaction.
func freeze(ctx context.Context, tx database.Tx) error {
	_, err := tx.Exec(ctx, "LOCK TABLE river_job")
	return err
}

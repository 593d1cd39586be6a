package shipping_test

import (
	"context"
	"fmt"
	"testing"

	"example.com/orders/internal/database"
	"example.com/orders/internal/waittest"
)

// freeze makes all others wait for the transaction: it has the only connection.
func freeze(context.Context, database.Tx) error { return nil }

// endless runs a statement that never ends by itself.
func endless(ctx context.Context, db *database.Pool) error {
	var n int
	return db.QueryRowContext(ctx, "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c").Scan(&n)
}

// waiting waits until the only connection is in use, or is not. Who waits for it
// takes nothing of the database.
func waiting(t *testing.T, db *database.Pool, want int) {
	t.Helper()
	waittest.Until(t, func() error {
		if got := db.Stats().InUse; got != want {
			return fmt.Errorf("%d connections are in use, want %d", got, want)
		}
		return nil
	})
}

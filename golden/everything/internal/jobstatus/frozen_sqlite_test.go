package jobstatus_test

import (
	"context"

	"example.com/orders/internal/database"
)

// freeze makes all others wait for the transaction: it has the only connection.
func freeze(context.Context, database.Tx) error { return nil }

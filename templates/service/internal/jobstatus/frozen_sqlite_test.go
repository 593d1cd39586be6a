//go:build !postgres

package jobstatus_test

import (
	"context"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

// freeze makes all others wait for the transaction: it has the only connection.
func freeze(context.Context, database.Tx) error { return nil }

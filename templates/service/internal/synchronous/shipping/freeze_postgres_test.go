//go:build postgres

package shipping_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/waittest"
)

// freeze makes all others who read rates wait for the transaction.
func freeze(ctx context.Context, tx database.Tx) error {
	_, err := tx.Exec(ctx, "LOCK TABLE synchronous_rates")
	return err
}

// endless runs a statement that does not end by itself while a test runs.
func endless(ctx context.Context, db *database.Pool) error {
	_, err := db.Exec(ctx, "SELECT pg_sleep(3600)")
	return err
}

// waiting waits until so many statements wait in the server, for a lock or in
// their sleep.
func waiting(t *testing.T, db *database.Pool, want int) {
	t.Helper()
	waittest.Until(t, func() error {
		var got int
		err := db.QueryRow(t.Context(), `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'active' AND wait_event_type IN ('Lock', 'Timeout')`).Scan(&got)
		if err == nil && got != want {
			err = fmt.Errorf("%d statements wait in the server, want %d", got, want)
		}
		return err
	})
}

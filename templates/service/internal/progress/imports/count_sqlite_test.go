//go:build !postgres

package imports_test

import (
	"testing"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

func countPrices(t testing.TB, db *database.Pool) (n int64) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM progress_prices`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

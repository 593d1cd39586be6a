package imports_test

import (
	"testing"

	"example.com/orders/internal/database"
)

func countPrices(t testing.TB, db *database.Pool) (n int64) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM progress_prices`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

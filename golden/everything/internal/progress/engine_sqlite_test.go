package progress_test

import (
	"context"
	"testing"

	"example.com/orders/internal/database"
)

// freeze makes all others wait for the transaction: it has the only connection.
func freeze(context.Context, database.Tx) error { return nil }

// countWrites has the database count the writes to the progress of jobs.
func countWrites(t testing.TB, db *database.Pool) func() int {
	t.Helper()
	for _, statement := range []string{
		`CREATE TABLE written (n INTEGER)`,
		`INSERT INTO written VALUES (0)`,
		`CREATE TRIGGER first_write AFTER INSERT ON progress_jobs BEGIN UPDATE written SET n = n + 1; END`,
		`CREATE TRIGGER next_write AFTER UPDATE ON progress_jobs BEGIN UPDATE written SET n = n + 1; END`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return func() (n int) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), `SELECT n FROM written`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

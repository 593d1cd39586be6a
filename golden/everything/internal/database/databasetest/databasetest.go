package databasetest

import (
	"log/slog"
	"testing"

	"example.com/orders/internal/database"
	"example.com/orders/migrations"
)

// Open returns a database of the test's own with the service's schema. It is
// closed and removed when the test ends.
func Open(t testing.TB) *database.Pool {
	t.Helper()
	pool, err := database.Open(t.Context(), Config(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := database.Close(pool); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	if err := database.Migrate(t.Context(), pool, migrations.FS, "applied", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return pool
}

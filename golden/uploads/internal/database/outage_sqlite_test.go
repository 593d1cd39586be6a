package database_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"example.com/orders/internal/database"
)

func TestALockedDatabaseIsAnOutage(t *testing.T) {
	t.Parallel()
	config := database.Config{Path: filepath.Join(t.TempDir(), "service.db"), BusyTimeout: time.Millisecond}
	for i := range 2 { // the first holds the lock, the second is refused
		db, err := database.Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = database.Close(db) }) // nothing was written
		tx, err := db.BeginTx(t.Context(), nil)
		if i == 0 {
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = tx.Rollback() }) // as above
			if _, err = tx.ExecContext(t.Context(), "INSERT INTO nowhere VALUES (1)"); err == nil || database.IsOutage(err) {
				t.Errorf("a table that is missing: %v is taken for an outage", err)
			}
			continue
		}
		if !database.IsOutage(fmt.Errorf("begin: %w", err)) {
			t.Errorf("locked: %v is not taken for an outage", err)
		}
	}
}

package main

import (
	"errors"
	"testing"
	"time"

	"example.com/orders/internal/database"
)

// eventsourcingExec runs a statement in the database of a service.
func eventsourcingExec(t testing.TB, env map[string]string, statement string) {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{Path: env["DATABASE_PATH"], BusyTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// Another process holds the database.
func TestEventsourcingWithoutItsDatabase(t *testing.T) {
	s := startService(t, map[string]string{"DATABASE_BUSY_TIMEOUT": "50ms"})
	other, err := database.Open(t.Context(), database.Config{Path: s.Env["DATABASE_PATH"], BusyTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }() // nothing was written
	free := func() {}
	eventsourcingOutage(t, s, func() {
		tx, err := other.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		free = func() {
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
	}, func() { free() })
}

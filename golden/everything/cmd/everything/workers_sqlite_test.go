package main

import (
	"net/http"
	"testing"
	"time"

	"example.com/orders/internal/database"
)

// A database that another process holds: callers are told to come again, and
// when it is free all goes on.
func TestWorkersLockedDatabase(t *testing.T) {
	s := startService(t, map[string]string{"DATABASE_BUSY_TIMEOUT": "50ms"})
	workersMustAccept(t, s.URL, workersOrder("A-1"))
	workersWaitForInvoice(t, s.URL, "A-1")
	other, err := database.Open(t.Context(), database.Config{Path: s.Env["DATABASE_PATH"], BusyTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }() // nothing was written
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, body := workersSubmit(t, s.URL, "key", workersOrder("A-2"))
	mustEqual(t, body, resp.StatusCode, http.StatusServiceUnavailable)
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	resp, body = workersSubmit(t, s.URL, "key", workersOrder("A-2"))
	mustEqual(t, body, resp.StatusCode, http.StatusAccepted)
	workersWaitForInvoice(t, s.URL, "A-2")
}

package main

import (
	"fmt"
	"net/http"
	"testing"

	"example.com/orders/internal/database/databasetest"
	"example.com/orders/internal/waittest"
)

// Without its database the service says that it is not ready and tells callers
// to come again; when the database is back all goes on, without a restart.
func TestWorkersLoseTheDatabase(t *testing.T) {
	env, relay := databasetest.EnvThrough(t)
	env["DATABASE_CONNECT_TIMEOUT"] = "1s"
	s := startService(t, env)
	workersMustAccept(t, s.URL, workersOrder("A-1"))
	workersWaitForInvoice(t, s.URL, "A-1")

	relay.Cut()
	resp, body := workersSubmit(t, s.URL, "key", workersOrder("A-2"))
	mustEqual(t, body, resp.StatusCode, http.StatusServiceUnavailable)
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	status, body := get(t, s.URL+"/readyz")
	mustEqual(t, body, status, http.StatusServiceUnavailable)

	relay.Restore()
	waittest.Until(t, func() error {
		if status, body := get(t, s.URL+"/readyz"); status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	waittest.Until(t, func() error {
		if resp, body := workersSubmit(t, s.URL, "key", workersOrder("A-2")); resp.StatusCode != http.StatusAccepted {
			return fmt.Errorf("%s %s", resp.Status, body)
		}
		return nil
	})
	workersWaitForInvoice(t, s.URL, "A-2")
}

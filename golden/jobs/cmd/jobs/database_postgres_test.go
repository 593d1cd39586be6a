package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"example.com/orders/internal/database/databasetest"
	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/waittest"
)

// A database that is gone, or frozen, is no fault of the service's: a route that
// takes no care of it says so in time, and that it is worth another try. A wrong
// statement stays a fault.
func TestRoutesWithoutTheDatabase(t *testing.T) {
	env, relay := databasetest.EnvThrough(t)
	env["DATABASE_STATEMENT_TIMEOUT"], env["DATABASE_CONNECT_TIMEOUT"] = "100ms", "1s"
	s := startRun(t, env, func(ctx context.Context, getenv func(string) string, stdout, stderr io.Writer) error {
		app := newApp()
		ask := func(statement string) httpapi.Handler {
			return func(w http.ResponseWriter, r *http.Request) error {
				if _, err := app.database.Exec(r.Context(), statement); err != nil {
					return err
				}
				w.WriteHeader(http.StatusNoContent)
				return nil
			}
		}
		app.mux.Handle("GET /right", ask("SELECT 1"))
		app.mux.Handle("GET /wrong", ask("SELECT nothing"))
		database := part{"database", app.setupDatabase}
		return app.run(ctx, getenv, []part{database}, stdout, stderr)
	})
	answers := func(path string, status int) {
		t.Helper()
		waittest.Until(t, func() error {
			if got, body := get(t, s.URL+path); got != status {
				return fmt.Errorf("%s: %d %s, want %d", path, got, body, status)
			}
			return nil
		})
	}
	answers("/right", http.StatusNoContent)
	answers("/wrong", http.StatusInternalServerError)
	for name, brk := range map[string]func() (mend func()){
		"frozen": relay.Silence,
		"gone":   func() func() { relay.Cut(); return relay.Restore },
	} {
		t.Run(name, func(t *testing.T) {
			mend := brk()
			defer mend()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/right", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, body := do(t, req)
			mustEqual(t, body, resp.StatusCode, http.StatusServiceUnavailable)
			mustEqual(t, "Retry-After", resp.Header.Get("Retry-After"), "1")
			mend()
			answers("/right", http.StatusNoContent)
		})
	}
}

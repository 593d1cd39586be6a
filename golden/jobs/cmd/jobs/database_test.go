package main

import (
	"net/http"
	"testing"

	"example.com/orders/internal/database/databasetest"
)

func databaseTestEnv(t testing.TB) map[string]string {
	t.Helper()
	return databasetest.Env(t)
}

func TestReadyWatchesTheDatabase(t *testing.T) {
	s := startService(t, nil)
	status, body := get(t, s.URL+"/readyz")
	mustEqual(t, body, status, http.StatusOK)
}

// Package databasetest gives each test an empty database of its own.
package databasetest

import (
	"path/filepath"
	"testing"
	"time"

	"example.com/orders/internal/database"
)

// Env returns the environment variables that lead a service to an empty
// database, which is gone when the test ends.
func Env(t testing.TB) map[string]string {
	t.Helper()
	return map[string]string{"DATABASE_PATH": filepath.Join(t.TempDir(), "service.db")}
}

// Config returns the configuration of an empty database.
func Config(t testing.TB) database.Config {
	t.Helper()
	return database.Config{Path: Env(t)["DATABASE_PATH"], BusyTimeout: 5 * time.Second}
}

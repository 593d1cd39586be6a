package database_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"example.com/orders/internal/database"
)

// instances is how many migrate at once. SQLite serves one service.
const instances = 1

func insert(ctx context.Context, tx database.Tx, n int) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO t (n) VALUES (?)", n)
	return err
}

func countRows(ctx context.Context, db *database.Pool) (n int, err error) {
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&n)
	return n, err
}

func badConfigs(t testing.TB) map[string]database.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("this is no database, but a text that is long enough"), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]database.Config{
		"a folder that is a file": {Path: filepath.Join(file, "service.db")},
		"a folder":                {Path: t.TempDir()},
		"no database":             {Path: file},
	}
}

func TestAPathMayHoldAnything(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c#d%e", "service.db")
	db, err := database.Open(t.Context(), database.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := database.Close(db); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the database is not where it was asked to be: %v", err)
	}
}

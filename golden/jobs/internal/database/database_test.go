package database_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"example.com/orders/internal/database"
	"example.com/orders/internal/database/databasetest"
)

func up(statement string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("-- +goose Up\n" + statement + ";\n")}
}

func migrate(t testing.TB, db *database.Pool, files fstest.MapFS) error {
	t.Helper()
	return database.Migrate(t.Context(), db, files, "applied", slog.New(slog.DiscardHandler))
}

// open returns a database with the table t(n), and a function that counts its
// rows.
func open(t testing.TB) (*database.Pool, func() int) {
	t.Helper()
	db := databasetest.Open(t)
	if err := migrate(t, db, fstest.MapFS{"90001_t.sql": up("CREATE TABLE t (n INTEGER PRIMARY KEY)")}); err != nil {
		t.Fatal(err)
	}
	return db, func() int {
		t.Helper()
		n, err := countRows(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

func TestInTxCommits(t *testing.T) {
	t.Parallel()
	db, count := open(t)
	err := database.InTx(t.Context(), db, func(tx database.Tx) error { return insert(t.Context(), tx, 1) })
	if err != nil || count() != 1 {
		t.Errorf("InTx: %v; %d rows, want 1", err, count())
	}
}

func TestInTxRollsBack(t *testing.T) {
	t.Parallel()
	db, count := open(t)
	broken := errors.New("broken")
	err := database.InTx(t.Context(), db, func(tx database.Tx) error {
		if err := insert(t.Context(), tx, 1); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("InTx: %v, want the function's own error", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = database.InTx(t.Context(), db, func(tx database.Tx) error { // panics
			if err := insert(t.Context(), tx, 2); err != nil {
				return err
			}
			panic("broken")
		})
	}()
	if n := count(); n != 0 {
		t.Errorf("%d rows are there, want none", n)
	}
}

func TestInTxKeepsToItsContext(t *testing.T) {
	t.Parallel()
	db, count := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := database.InTx(ctx, db, func(tx database.Tx) error {
		if err := insert(ctx, tx, 1); err != nil {
			return err
		}
		cancel()
		return insert(ctx, tx, 2)
	})
	if err == nil || count() != 0 {
		t.Errorf("InTx: %v; %d rows, want an error and none", err, count())
	}
}

// Parts are added in any order, so a number below those applied is no error.
func TestMigrateAppliesWhatIsMissing(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	files := fstest.MapFS{
		"90000_earlier.sql": up("CREATE TABLE earlier (n INTEGER)"),
		"90001_t.sql":       up("CREATE TABLE t (n INTEGER PRIMARY KEY)"),
		"90002_later.sql":   up("ALTER TABLE earlier ADD COLUMN m INTEGER"),
	}
	for range 2 {
		if err := migrate(t, db, files); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMigrateByManyAtOnce(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	files := fstest.MapFS{"90001_t.sql": up("CREATE TABLE t (n INTEGER)"), "90002_once.sql": up("CREATE TABLE once (n INTEGER)")}
	var wg sync.WaitGroup
	for range instances {
		wg.Go(func() {
			if err := migrate(t, db, files); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestAFailedMigrationNamesItself(t *testing.T) {
	t.Parallel()
	db, count := open(t)
	err := migrate(t, db, fstest.MapFS{"90002_bad.sql": up("INSERT INTO t VALUES (1);\nINSERT INTO t VALUES ('x', 'y')")})
	if err == nil || !strings.Contains(err.Error(), "90002_bad.sql") {
		t.Errorf("Migrate: %v, want the file named", err)
	}
	if n := count(); n != 0 {
		t.Errorf("half of the migration was applied: %d rows", n)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, config := range badConfigs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := database.Open(t.Context(), config)
			if err == nil {
				_ = database.Close(db)
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), "DATABASE_") || strings.Contains(err.Error(), "secret") {
				t.Errorf("Open: %v; want the variable and no password", err)
			}
		})
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	problems, err := testutil.CollectAndLint(database.Metrics(db))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "database_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

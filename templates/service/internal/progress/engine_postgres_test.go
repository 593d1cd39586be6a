//go:build postgres

package progress_test

import (
	"context"
	"testing"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

// freeze makes all others who read or write progress wait for the transaction.
func freeze(ctx context.Context, tx database.Tx) error {
	_, err := tx.Exec(ctx, "LOCK TABLE progress_jobs")
	return err
}

// countWrites has the database count the writes to the progress of jobs.
func countWrites(t testing.TB, db *database.Pool) func() int {
	t.Helper()
	for _, statement := range []string{
		`CREATE SEQUENCE written MINVALUE 0 START 0`,
		`CREATE FUNCTION count_write() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM nextval(''written''); RETURN NULL; END'`,
		`CREATE TRIGGER writes AFTER INSERT OR UPDATE ON progress_jobs FOR EACH ROW EXECUTE FUNCTION count_write()`,
	} {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return func() (n int) {
		t.Helper()
		if err := db.QueryRow(t.Context(), `SELECT nextval('written')`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

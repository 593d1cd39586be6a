//go:build postgres

package accounts_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

func execute(t *testing.T, db *database.Pool, statement string) {
	t.Helper()
	if _, err := db.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// generations returns those that there are of the list of balances.
func generations(t *testing.T, db *database.Pool) []int64 {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT generation FROM eventsourcing_projections WHERE name = 'balances' ORDER BY generation`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

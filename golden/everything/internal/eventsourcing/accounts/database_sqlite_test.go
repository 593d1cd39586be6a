package accounts_test

import (
	"testing"

	"example.com/orders/internal/database"
)

func execute(t *testing.T, db *database.Pool, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// generations returns those that there are of the list of balances.
func generations(t *testing.T, db *database.Pool) (all []int64) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT generation FROM eventsourcing_projections WHERE name = 'balances' ORDER BY generation`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

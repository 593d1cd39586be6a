package database_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/orders/internal/database"
	"example.com/orders/internal/database/databasetest"
)

func TestWhatIsAnOutage(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t)
	exec := func(sql string) error {
		_, err := db.Exec(t.Context(), sql)
		return err
	}
	refused := func() error {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := listener.Addr().String()
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = pgx.Connect(t.Context(), "postgres://nobody@"+addr+"/none?sslmode=disable")
		return err
	}
	late, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, tooLate := db.Exec(late, "SELECT pg_sleep(60)")
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"a table that is missing": {exec("INSERT INTO nowhere VALUES (1)"), false},
		"a zero byte":             {func() error { _, err := db.Exec(t.Context(), "SELECT $1::text", "\x00"); return err }(), false},
		"ended by an operator":    {exec("SELECT pg_terminate_backend(pg_backend_pid())"), true},
		"statement timeout":       {exec("SET statement_timeout = 1; SELECT pg_sleep(60)"), true},
		"nobody listens":          {refused(), true},
		"the time is up":          {tooLate, true},
	} {
		if tt.err == nil {
			t.Fatalf("%s: no error", name)
		}
		if got := database.IsOutage(fmt.Errorf("x: %w", tt.err)); got != tt.want {
			t.Errorf("%s: %v: an outage is %t, want %t", name, tt.err, got, tt.want)
		}
	}
}

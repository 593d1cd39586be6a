package database_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"example.com/orders/internal/database"
)

// instances is how many migrate at once.
const instances = 4

func insert(ctx context.Context, tx database.Tx, n int) error {
	_, err := tx.Exec(ctx, "INSERT INTO t (n) VALUES ($1)", n)
	return err
}

func countRows(ctx context.Context, db *database.Pool) (n int, err error) {
	err = db.QueryRow(ctx, "SELECT count(*) FROM t").Scan(&n)
	return n, err
}

func badConfigs(t testing.TB) map[string]database.Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	config := database.Config{MaxConns: 1, ConnectTimeout: 5 * time.Second}
	with := func(url string) database.Config {
		c := config
		c.URL = url
		return c
	}
	return map[string]database.Config{
		"no URL":            with("postgres://user:secret@host:port/x"),
		"nothing listening": with("postgres://user:secret@" + refused + "/x"),
	}
}

func TestValidateNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	good := database.Config{URL: "postgres://", MaxConns: 1, ConnectTimeout: time.Second, StatementTimeout: time.Second, MigrationsTable: "migrations"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*database.Config){
		"DATABASE_URL is not set":        func(c *database.Config) { c.URL = "" },
		"DATABASE_MAX_CONNS=0":           func(c *database.Config) { c.MaxConns = 0 },
		"DATABASE_CONNECT_TIMEOUT=0s":    func(c *database.Config) { c.ConnectTimeout = 0 },
		"DATABASE_STATEMENT_TIMEOUT=1µs": func(c *database.Config) { c.StatementTimeout = time.Microsecond },
	} {
		c := good
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s named", err, want)
		}
	}
}

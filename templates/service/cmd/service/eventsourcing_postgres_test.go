//go:build postgres

package main

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/enginetest"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/waittest"
)

// eventsourcingExec runs a statement in the database of a service.
func eventsourcingExec(t testing.TB, env map[string]string, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), statement)
	if err := errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// The server ends all connections to the database, and takes no more.
func TestEventsourcingWithoutItsDatabase(t *testing.T) {
	s := startService(t, nil)
	server := map[string]string{"DATABASE_URL": enginetest.Env(t, "TEST_DATABASE_URL", "a PostgreSQL server")}
	u, err := url.Parse(s.Env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	eventsourcingOutage(t, s, func() {
		eventsourcingExec(t, server, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false")
		eventsourcingExec(t, server, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '"+name+"'")
	}, func() {
		eventsourcingExec(t, server, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS true")
	})
}

// A transaction that has written and is open, in another database of the server, holds
// up the projections and nothing else; it is seen as lag.
func TestEventsourcingBehindALongTransaction(t *testing.T) {
	s := startService(t, map[string]string{"EVENTSOURCING_POLL_INTERVAL": "20ms"})
	conn, err := pgx.Connect(t.Context(), enginetest.Env(t, "TEST_DATABASE_URL", "a PostgreSQL server"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if _, err := conn.Exec(t.Context(), "BEGIN; SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	eventsourcingOpen(t, s.URL, "ada", 100)
	lag := `eventsourcing_lag_seconds{projection="balances"} `
	waittest.Until(t, func() error {
		_, metrics := get(t, s.URL+"/metrics")
		if strings.Contains(metrics, lag+"0\n") {
			return errors.New("no lag is shown")
		}
		return errors.Join(contains(metrics, lag), contains(metrics, `eventsourcing_failures_total{projection="balances"} 0`+"\n"))
	})
	mustEqual(t, "the account", eventsourcingGet(t, s.URL+"/accounts/ada").Cents, 100)
	mustEqual(t, "the list", len(eventsourcingGet(t, s.URL+"/accounts").Accounts), 0)
	if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	eventsourcingListed(t, s.URL, eventsourcingBalance{"ada", 100})
}

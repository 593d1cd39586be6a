// Package databasetest gives each test an empty database of its own.
package databasetest

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/orders/internal/database"
	"example.com/orders/internal/enginetest"
	"example.com/orders/internal/relaytest"
)

// Env returns the environment variables that lead a service to an empty
// database, which is dropped when the test ends. TEST_DATABASE_URL says on
// which server, and as a user who may create databases.
func Env(t testing.TB) map[string]string {
	t.Helper()
	server := enginetest.Env(t, "TEST_DATABASE_URL", "a PostgreSQL server")
	name := "test_" + strings.ToLower(rand.Text())
	exec(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { exec(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("TEST_DATABASE_URL: %v", err)
	}
	u.Path = "/" + name
	return map[string]string{"DATABASE_URL": u.String()}
}

// EnvThrough is as [Env], with a relay between the service and the server.
func EnvThrough(t testing.TB) (map[string]string, *relaytest.Relay) {
	t.Helper()
	env := Env(t)
	u, err := url.Parse(env["DATABASE_URL"])
	if err != nil {
		t.Fatalf("TEST_DATABASE_URL: %v", err)
	}
	relay := relaytest.Start(t, u.Host)
	u.Host = relay.Addr
	return map[string]string{"DATABASE_URL": u.String()}, relay
}

func exec(t testing.TB, server, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("TEST_DATABASE_URL: %v", err)
	}
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Errorf("%s: %v", statement, err)
	}
	if err := conn.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// ConfigThrough is as [Config], with a relay between the service and the server.
func ConfigThrough(t testing.TB) (database.Config, *relaytest.Relay) {
	t.Helper()
	env, relay := EnvThrough(t)
	return configOf(env), relay
}

func configOf(env map[string]string) database.Config {
	return database.Config{
		URL:              env["DATABASE_URL"],
		MaxConns:         8,
		ConnectTimeout:   10 * time.Second,
		StatementTimeout: time.Minute,
	}
}

// Config returns the configuration of an empty database.
func Config(t testing.TB) database.Config {
	t.Helper()
	return configOf(Env(t))
}

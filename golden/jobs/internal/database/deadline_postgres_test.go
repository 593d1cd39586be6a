package database_test

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/orders/internal/database"
	"example.com/orders/internal/database/databasetest"
	"example.com/orders/internal/waittest"
)

// A server that keeps its connections and answers nothing is given up in time,
// whatever is asked of it, and used again when it answers again.
func TestAServerThatFallsSilent(t *testing.T) {
	t.Parallel()
	config, relay := databasetest.ConfigThrough(t)
	config.MaxConns, config.StatementTimeout = 1, 50*time.Millisecond
	asks := map[string]func(*database.Pool) error{
		"a statement": func(db *database.Pool) error {
			_, err := db.Exec(t.Context(), "SELECT 1")
			return err
		},
		"a row": func(db *database.Pool) error {
			var n int
			return db.QueryRow(t.Context(), "SELECT $1::int", 1).Scan(&n)
		},
		"a transaction": func(db *database.Pool) error {
			return database.InTx(t.Context(), db, func(database.Tx) error { return nil })
		},
		"a batch": func(db *database.Pool) error {
			var b pgx.Batch
			b.Queue("SELECT 1")
			return db.SendBatch(t.Context(), &b).Close()
		},
		"a copy": func(db *database.Pool) error {
			_, err := db.CopyFrom(t.Context(), pgx.Identifier{"t"}, []string{"n"}, pgx.CopyFromRows([][]any{
				{1},
			}))
			return err
		},
		"a connection": func(db *database.Pool) error {
			held, err := db.Acquire(t.Context())
			if err != nil {
				return err
			}
			defer held.Release()
			_, err = db.Acquire(t.Context()) // there is only one
			return err
		},
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) { // one after the other: they share the relay
			db, err := database.Open(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = database.Close(db) }() // a connection may be held
			if _, err := db.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS t (n INTEGER)"); err != nil {
				t.Fatal(err)
			}
			speak := relay.Silence()
			defer speak()
			if err := ask(db); !database.IsOutage(err) {
				t.Errorf("%v, want an outage", err)
			}
			speak()
			waittest.Until(t, func() error {
				if err := ask(db); err != nil && name != "a connection" {
					return err
				}
				return nil
			})
		})
	}
}

// A migration takes the time that it needs, however short statements are kept.
func TestMigrationsAreNotCutOff(t *testing.T) {
	t.Parallel()
	config := databasetest.Config(t)
	config.StatementTimeout = time.Millisecond
	db, err := database.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := database.Close(db); err != nil {
			t.Error(err)
		}
	}()
	if _, err := db.Exec(t.Context(), "SELECT pg_sleep(0.1)"); !database.IsOutage(err) {
		t.Fatalf("the statement: %v, want it cut off", err)
	}
	if err := migrate(t, db, fstest.MapFS{"90001_slow.sql": up("SELECT pg_sleep(0.1)")}); err != nil {
		t.Errorf("the migration: %v", err)
	}
}

//go:build postgres

package eventsourcing_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database/databasetest"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/eventsourcing"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/waittest"
)

// A transaction takes a position and stays open while others commit behind it: a
// reader passes over neither.
func TestAnOpenTransactionIsNotPassedOver(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t)
	log, _ := newLog(t, db, counters())
	var mu sync.Mutex
	var seen []string
	follow(t, log, eventsourcing.Projection{Name: "p", Handle: func(_ context.Context, _ database.Tx, _ int64, e eventsourcing.Event) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, e.Stream)
		return nil
	}})
	want := func(streams ...string) {
		t.Helper()
		waittest.Until(t, func() error {
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(seen, streams) {
				return fmt.Errorf("seen %v, want %v", seen, streams)
			}
			return nil
		})
	}
	if _, err := log.Append(t.Context(), "first", 0, counted{1}); err != nil {
		t.Fatal(err)
	}
	want("first")
	err := database.InTx(t.Context(), db, func(tx database.Tx) error {
		if err := log.AppendTx(t.Context(), tx, "slow", 0, counted{1}); err != nil {
			return err
		}
		_, err := log.Append(t.Context(), "quick", 0, counted{1})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want("first", "slow", "quick")
}

// Events that were restored from a server that had come further are refused.
func TestARestoredLogIsRefused(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t)
	log, _ := newLog(t, db, counters())
	if _, err := log.Append(t.Context(), "a", 0, counted{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `UPDATE eventsourcing_events SET transaction_id = '9000000000000000000'`); err != nil {
		t.Fatal(err)
	}
	open := func() error {
		_, err := eventsourcing.New(t.Context(), db, counters(), testConfig, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), noop.NewTracerProvider())
		return err
	}
	if err := open(); err == nil || !strings.Contains(err.Error(), "After a restore") {
		t.Errorf("%v, want it refused", err)
	}
	if _, err := db.Exec(t.Context(), afterRestoreSQL); err != nil {
		t.Fatal(err)
	}
	if err := open(); err != nil {
		t.Error(err)
	}
}

// afterRestoreSQL is what the page says to do. It numbers the events anew in the order
// that they have, as of one transaction that was before all of the server's.
const afterRestoreSQL = `
WITH ordered AS (
    SELECT stream, version, transaction_id, position,
           row_number() OVER (ORDER BY transaction_id, position) AS place
    FROM eventsourcing_events
), projections AS (
    UPDATE eventsourcing_projections p SET at_transaction = 0, at_position = (
        SELECT count(*) FROM ordered o
        WHERE (o.transaction_id, o.position) <= (p.at_transaction::text::xid8, p.at_position))
)
UPDATE eventsourcing_events e SET transaction_id = '0', position = o.place
FROM ordered o WHERE (e.stream, e.version) = (o.stream, o.version)`

// After a restore each projection goes on where it was, though some events have
// lower positions than those before them; and new events come after all. Another
// restore changes nothing in that.
func TestARestoredLogKeepsItsOrder(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t)
	log, _ := newLog(t, db, counters())
	for _, stream := range []string{"a", "b", "c", "d"} {
		if _, err := log.Append(t.Context(), stream, 0, counted{1}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		// b was first, then d, a and c: as of transactions that overlapped.
		// The projection has done with b and d.
		for _, statement := range []string{
			`UPDATE eventsourcing_events SET transaction_id = (9000000000000000000 + array_position('{b,d,a,c}', stream))::text::xid8 WHERE transaction_id > '0'`,
			`INSERT INTO eventsourcing_projections (name, generation, live, at_transaction, at_position)
			 VALUES ('p', 1, true, 9000000000000000002, (SELECT position FROM eventsourcing_events WHERE stream = 'd')) ON CONFLICT DO NOTHING`,
			afterRestoreSQL,
		} {
			if _, err := db.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	restored, _ := newLog(t, db, counters())
	var mu sync.Mutex
	var seen []string
	follow(t, restored, eventsourcing.Projection{Name: "p", Handle: func(_ context.Context, _ database.Tx, _ int64, e eventsourcing.Event) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, e.Stream)
		return nil
	}})
	if _, err := restored.Append(t.Context(), "e", 0, counted{1}); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		if want := []string{"a", "c", "e"}; !slices.Equal(seen, want) {
			return fmt.Errorf("seen %v, want %v", seen, want)
		}
		return nil
	})
}

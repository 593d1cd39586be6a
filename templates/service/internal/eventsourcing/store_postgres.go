//go:build postgres

package eventsourcing

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

// A transaction's number is 64 bits wide here, and does not wrap around. Below the
// oldest one that is still open, nothing can appear any more.
const (
	columnsSQL = `stream, version, transaction_id::text::bigint, position, type, schema_version, data, recorded_at`
	allSQL     = `
		SELECT ` + columnsSQL + ` FROM eventsourcing_events
		WHERE (transaction_id, position) > ($1::bigint::text::xid8, $2::bigint)
		  AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
		ORDER BY transaction_id, position LIMIT $3`
	lagSQL = `
		SELECT (SELECT e.recorded_at FROM eventsourcing_events e
		        WHERE (e.transaction_id, e.position) > (p.at_transaction::text::xid8, p.at_position)
		        ORDER BY e.transaction_id, e.position LIMIT 1)
		FROM eventsourcing_projections p WHERE p.name = $1 AND p.live`
)

// checkOrder reports events whose transaction the server has yet to come to: they
// were restored from another server, and new ones would come before them.
func checkOrder(ctx context.Context, db *database.Pool) error {
	var ahead bool
	err := db.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM eventsourcing_events
		               WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot()))`).Scan(&ahead)
	if err != nil {
		return fmt.Errorf("the order of events: %w", err)
	}
	if ahead {
		return errors.New("eventsourcing_events: has events of another server's transactions, as after a restore: " +
			"new events would come before them. Stop all instances and run the statements of docs/patterns/eventsourcing.md, 'After a restore'")
	}
	return nil
}

// tryLock keeps others from a generation until the end of the transaction. It locks
// no row: that would make the transaction a writer, whose end the readers of events
// wait for.
func tryLock(ctx context.Context, tx database.Tx, name string, generation int64) (ok bool, err error) {
	key := fmt.Sprintf("eventsourcing %s %d", name, generation)
	if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))`, key).Scan(&ok); err != nil {
		return false, fmt.Errorf("lock projection %s: %w", name, err)
	}
	return ok, nil
}

// whileLocked does something while no other instance does it for that projection,
// if none is at it. It holds a connection, which is
// for do to use, and no transaction.
func whileLocked(ctx context.Context, db *database.Pool, name string, do func(querier) error) (err error) {
	conn, err := db.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("lock projection %s: %w", name, err)
	}
	defer conn.Release()
	key := "eventsourcing " + name
	var ok bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended($1, 0))`, key).Scan(&ok); err != nil {
		return fmt.Errorf("lock projection %s: %w", name, err)
	}
	if !ok {
		return nil
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
		defer cancel()
		if _, unlockErr := conn.Exec(ctx, `SELECT pg_advisory_unlock(hashtextextended($1, 0))`, key); unlockErr != nil {
			err = errors.Join(err, unlockErr, conn.Conn().Close(ctx)) // and the lock goes with it
		}
	}()
	return do(conn)
}

// isTaken reports whether another event has that version.
func isTaken(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "23505" && e.ConstraintName == "eventsourcing_events_stream_version"
}

// A querier is the database or a transaction.
type querier interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

func exec(ctx context.Context, q querier, query string, args ...any) error {
	_, err := q.Exec(ctx, query, args...)
	return err
}

// queryRow reports whether there is a row.
func queryRow(ctx context.Context, q querier, query string, args []any, into ...any) (bool, error) {
	err := q.QueryRow(ctx, query, args...).Scan(into...)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func queryRows(ctx context.Context, q querier, query string, args []any, each func(scan func(...any) error) error) error {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

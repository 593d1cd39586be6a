package eventsourcing

import (
	"context"
	"database/sql"
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/orders/internal/database"
)

// SQLite has one writer at a time, so positions are in the order of commits and
// one transaction is as good as the other.
const (
	columnsSQL = `stream, version, 0, position, type, schema_version, data, recorded_at`
	allSQL     = `
		SELECT ` + columnsSQL + ` FROM eventsourcing_events
		WHERE $1 >= 0 AND position > $2
		ORDER BY position LIMIT $3`
	lagSQL = `
		SELECT (SELECT e.recorded_at FROM eventsourcing_events e WHERE e.position > p.at_position ORDER BY e.position LIMIT 1)
		FROM eventsourcing_projections p WHERE p.name = $1 AND p.live`
)

func checkOrder(context.Context, *database.Pool) error { return nil }

// tryLock has nothing to do: there is one transaction at a time.
func tryLock(context.Context, database.Tx, string, int64) (bool, error) { return true, nil }

// whileLocked has nothing to lock either: one process has the database.
func whileLocked(_ context.Context, db *database.Pool, _ string, do func(querier) error) error {
	return do(db)
}

// isTaken reports whether another event has that version.
func isTaken(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
}

// A querier is the database or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func exec(ctx context.Context, q querier, query string, args ...any) error {
	_, err := q.ExecContext(ctx, query, args...)
	return err
}

// queryRow reports whether there is a row.
func queryRow(ctx context.Context, q querier, query string, args []any, into ...any) (bool, error) {
	err := q.QueryRowContext(ctx, query, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func queryRows(ctx context.Context, q querier, query string, args []any, each func(scan func(...any) error) error) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

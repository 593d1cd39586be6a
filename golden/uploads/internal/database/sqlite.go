package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	_ "modernc.org/sqlite" // the driver

	"example.com/orders/internal/setting"
)

// Config says where the SQLite database is.
type Config struct {
	// Path is the database's file. It and its folder are made where they are
	// missing.
	Path string `env:"DATABASE_PATH" envDefault:"data/service.db"`
	// BusyTimeout is how long a statement waits for another process's write.
	BusyTimeout time.Duration `env:"DATABASE_BUSY_TIMEOUT" envDefault:"5s"`
	// Migrate says whether the schema is brought up to date at the start.
	Migrate bool `env:"DATABASE_MIGRATE" envDefault:"true"`
	// MigrationsTable is where it is noted which migrations were applied. Two
	// services that share a database need one each.
	MigrationsTable string `env:"DATABASE_MIGRATIONS_TABLE" envDefault:"goose_db_version"`
}

// Validate reports a value that can't be meant.
func (c Config) Validate() error {
	return errors.Join(
		setting.Between("DATABASE_BUSY_TIMEOUT", c.BusyTimeout, 0, 24*time.Hour),
		validateTable(c.MigrationsTable),
	)
}

// Pool is the service's handle to its database. It is safe for concurrent use.
//
// It has one connection: SQLite takes one writer at a time, and waiting in the
// pool is cheaper than being refused by the file's lock. So a transaction must
// not use the pool beside itself, or it waits for its own end.
type Pool = sql.DB

// Tx is a transaction.
type Tx = *sql.Tx

// Open opens the database. The caller closes it.
func Open(ctx context.Context, config Config) (*Pool, error) {
	if err := os.MkdirAll(filepath.Dir(config.Path), 0o700); err != nil {
		return nil, fmt.Errorf("DATABASE_PATH: %w", err)
	}
	query := url.Values{
		"_pragma": {
			"journal_mode(WAL)",
			"synchronous(NORMAL)",
			"foreign_keys(1)",
			fmt.Sprintf("busy_timeout(%d)", config.BusyTimeout.Milliseconds()),
		},
		// A transaction that reads first and writes later would otherwise fail
		// at its first write when another has written in between.
		"_txlock": {"immediate"},
	}
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: config.Path}).EscapedPath(), RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("DATABASE_PATH=%s: %w", config.Path, err)
	}
	db.SetMaxOpenConns(1)
	if err := Ping(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("DATABASE_PATH=%s: %w", config.Path, err), db.Close())
	}
	return db, nil
}

// Ping reports whether the database answers.
func Ping(ctx context.Context, db *Pool) error {
	return db.PingContext(ctx)
}

// closeTimeout is how long a connection that is in use may take to be given back.
const closeTimeout = 2 * time.Second

// Close closes the pool, and waits for the connections in use: database/sql rolls a
// transaction whose context has ended back by a goroutine of its own, and the last
// connection to close writes to the database's files.
func Close(db *Pool) error {
	err := db.Close()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(closeTimeout); db.Stats().OpenConnections > 0; <-poll.C {
		if time.Now().After(deadline) {
			return errors.Join(err, fmt.Errorf("%d connections were still in use", db.Stats().OpenConnections))
		}
	}
	return err
}

// Migrate brings the schema up to date with the migrations in files, and notes
// them in the table.
func Migrate(ctx context.Context, db *Pool, files fs.FS, table string, log *slog.Logger) error {
	return migrate(ctx, db, goose.DialectSQLite3, files, table, log)
}

// InTx runs fn in a transaction and commits it, or rolls it back when fn
// returns an error or panics. fn must use tx alone.
func InTx(ctx context.Context, db *Pool, fn func(tx Tx) error) (err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if rollbackErr := tx.Rollback(); rollbackErr != nil && !errors.Is(rollbackErr, sql.ErrTxDone) {
			err = errors.Join(err, fmt.Errorf("roll back: %w", rollbackErr))
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Metrics returns the pool's metrics, go_sql_*.
func Metrics(db *Pool) prometheus.Collector {
	return collectors.NewDBStatsCollector(db, "service")
}

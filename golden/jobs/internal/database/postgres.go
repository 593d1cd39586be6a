package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/prometheus/client_golang/prometheus"

	"example.com/orders/internal/setting"
)

// Config says where the PostgreSQL database is.
type Config struct {
	// URL is the database's URL or keyword/value string, as in libpq.
	URL string `env:"DATABASE_URL"`
	// MaxConns is the pool's size. All replicas together must stay below the
	// server's max_connections.
	MaxConns int32 `env:"DATABASE_MAX_CONNS" envDefault:"16"`
	// ConnectTimeout bounds the first connection and each later one.
	ConnectTimeout time.Duration `env:"DATABASE_CONNECT_TIMEOUT" envDefault:"5s"`
	// StatementTimeout is how long the server lets one statement run, and how
	// long a caller waits for a connection. A server that does not say so itself is
	// given a second more. Migrations take the time that they need.
	StatementTimeout time.Duration `env:"DATABASE_STATEMENT_TIMEOUT" envDefault:"10s"`
	// Migrate says whether the schema is brought up to date at the start.
	Migrate bool `env:"DATABASE_MIGRATE" envDefault:"true"`
	// MigrationsTable is where it is noted which migrations were applied. Two
	// services that share a database need one each.
	MigrationsTable string `env:"DATABASE_MIGRATIONS_TABLE" envDefault:"goose_db_version"`
}

// Validate reports what is missing or can't be meant.
func (c Config) Validate() error {
	const most = 24 * time.Hour
	return errors.Join(
		c.validateURL(),
		setting.Between("DATABASE_MAX_CONNS", c.MaxConns, 1, 10_000),
		setting.Between("DATABASE_CONNECT_TIMEOUT", c.ConnectTimeout, time.Millisecond, most),
		setting.Between("DATABASE_STATEMENT_TIMEOUT", c.StatementTimeout, time.Millisecond, most),
		validateTable(c.MigrationsTable),
	)
}

func (c Config) validateURL() error {
	if c.URL == "" {
		return errors.New("DATABASE_URL is not set: start a server with `docker compose up -d postgres` and set postgres://postgres:postgres@localhost:5432/postgres")
	}
	if _, err := pgxpool.ParseConfig(c.URL); err != nil {
		return errURL
	}
	return nil
}

// errURL does not tell the URL: it may hold a password.
var errURL = errors.New("DATABASE_URL: must be a PostgreSQL URL or keyword/value string")

// Pool is the service's handle to its database. It is safe for concurrent use.
type Pool = pgxpool.Pool

// Tx is a transaction.
type Tx = pgx.Tx

// Open connects to the database. The caller closes the pool.
func Open(ctx context.Context, config Config) (*Pool, error) {
	c, err := pgxpool.ParseConfig(config.URL)
	if err != nil {
		return nil, errURL
	}
	c.MaxConns = config.MaxConns
	c.ConnConfig.ConnectTimeout = config.ConnectTimeout
	c.ConnConfig.RuntimeParams["statement_timeout"] = fmt.Sprint(config.StatementTimeout.Milliseconds())
	c.ConnConfig.Tracer = deadline{config.StatementTimeout + serverGrace}
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, config.ConnectTimeout)
	defer cancel()
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	return pool, nil
}

// Ping reports whether the database answers.
func Ping(ctx context.Context, pool *Pool) error {
	return pool.Ping(ctx)
}

// closeTimeout is how long a server may take to take leave.
const closeTimeout = 2 * time.Second

// Close waits for the connections in use and closes the pool. Connections to a
// server that does not answer are left to the end of the process.
func Close(pool *Pool) error {
	closed := make(chan struct{})
	go func() { pool.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(closeTimeout):
		if n := pool.Stat().AcquiredConns(); n > 0 {
			return fmt.Errorf("%d connections were still in use", n)
		}
	}
	return nil
}

// Migrate brings the schema up to date with the migrations in files, and notes
// them in the table. Replicas that start together take turns by an advisory lock.
func Migrate(ctx context.Context, pool *Pool, files fs.FS, table string, log *slog.Logger) (err error) {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("migration lock: %w", err)
	}
	db := stdlib.OpenDB(*Unbounded(pool).ConnConfig)
	defer func() { err = errors.Join(err, db.Close()) }()
	return migrate(ctx, db, goose.DialectPostgres, files, table, log, goose.WithSessionLocker(locker))
}

// Unbounded returns the pool's settings without the bounds of a statement's time, for
// migrations: they take the time that they need.
func Unbounded(pool *Pool) *pgxpool.Config {
	config := pool.Config()
	config.ConnConfig.Tracer = nil
	config.ConnConfig.RuntimeParams["statement_timeout"] = "0"
	return config
}

// InTx runs fn in a transaction and commits it, or rolls it back when fn
// returns an error or panics.
func InTx(ctx context.Context, pool *Pool, fn func(tx Tx) error) error {
	return pgx.BeginFunc(ctx, pool, fn)
}

// Metrics returns the pool's metrics.
func Metrics(pool *Pool) prometheus.Collector {
	return poolCollector{
		pool:  pool,
		inUse: prometheus.NewDesc("database_connections_in_use", "Connections that are checked out of the pool.", nil, nil),
		idle:  prometheus.NewDesc("database_connections_idle", "Connections that wait in the pool.", nil, nil),
		max:   prometheus.NewDesc("database_connections_max", "The pool's size.", nil, nil),
		waits: prometheus.NewDesc("database_connection_waits_total", "Checkouts that had to wait for a connection.", nil, nil),
	}
}

type poolCollector struct {
	pool                    *pgxpool.Pool
	inUse, idle, max, waits *prometheus.Desc
}

// Describe implements [prometheus.Collector].
func (c poolCollector) Describe(ch chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, ch)
}

// Collect implements [prometheus.Collector].
func (c poolCollector) Collect(ch chan<- prometheus.Metric) {
	stat := c.pool.Stat()
	ch <- prometheus.MustNewConstMetric(c.inUse, prometheus.GaugeValue, float64(stat.AcquiredConns()))
	ch <- prometheus.MustNewConstMetric(c.idle, prometheus.GaugeValue, float64(stat.IdleConns()))
	ch <- prometheus.MustNewConstMetric(c.max, prometheus.GaugeValue, float64(stat.MaxConns()))
	ch <- prometheus.MustNewConstMetric(c.waits, prometheus.CounterValue, float64(stat.EmptyAcquireCount()))
}

// Package workerstest starts pools in tests.
package workerstest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"example.com/orders/internal/database"
	"example.com/orders/internal/database/databasetest"
	"example.com/orders/internal/workers"
)

// Config returns the limits of a pool that is quick to react.
func Config() workers.Config {
	return workers.Config{
		Concurrency:    4,
		JobTimeout:     30 * time.Second,
		RescueAfter:    time.Minute,
		MaxAttempts:    3,
		MaxDepth:       10_000,
		MaxDelay:       24 * time.Hour,
		FetchCooldown:  5 * time.Millisecond,
		PollInterval:   100 * time.Millisecond,
		DrainTimeout:   10 * time.Second,
		EnqueueTimeout: 10 * time.Second,
		KeyTTL:         time.Hour,
	}
}

// Database returns a database of the test's own with River's tables.
func Database(t testing.TB) *database.Pool {
	t.Helper()
	db := databasetest.Open(t)
	if err := workers.Migrate(t.Context(), db, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return db
}

// New returns a pool on db that has not been started.
func New(t testing.TB, db *database.Pool, config workers.Config) *workers.Pool {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	p, err := workers.New(db, config, log, prometheus.NewRegistry(), noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Start starts the pool, and stops it when the test ends.
func Start(t testing.TB, p *workers.Pool) {
	t.Helper()
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Errorf("stop the workers: %v", err)
		}
	})
}

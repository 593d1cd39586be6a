package workers_test

import (
	"context"
	"testing"
	"time"

	"example.com/orders/internal/workers/workerstest"
)

// A database that does not answer holds the stop up for as long as the settings
// say, and no longer, where no job runs. Whoever holds SQLite's one connection
// makes it such.
func TestStopDoesNotWaitForASilentDatabase(t *testing.T) {
	t.Parallel()
	config := workerstest.Config()
	config.EnqueueTimeout = 200 * time.Millisecond
	db := workerstest.Database(t)
	p := workerstest.New(t, db, config)
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	start := time.Now()
	if err := p.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	<-p.Client().Stopped() // it goes on by itself then
}

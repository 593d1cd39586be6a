package workers_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"example.com/orders/internal/database"
	"example.com/orders/internal/database/databasetest"
	"example.com/orders/internal/workers"
	"example.com/orders/internal/workers/workerstest"
)

// open returns another pool of connections to the database, as another instance
// of the service has.
func open(t *testing.T, config database.Config) *database.Pool {
	t.Helper()
	db, err := database.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func TestInstancesThatStartTogetherMigrateOnce(t *testing.T) {
	t.Parallel()
	config := databasetest.Config(t)
	config.MaxConns = 1 // the lock must not take the pool's connection
	var all errgroup.Group
	for range 4 {
		db := open(t, config)
		all.Go(func() error { return workers.Migrate(t.Context(), db, slog.New(slog.DiscardHandler)) })
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
}

// A migration takes the time that it needs, whatever the bounds of a statement are.
func TestMigrationsAreNotCutOff(t *testing.T) {
	t.Parallel()
	config := databasetest.Config(t)
	config.StatementTimeout = 10 * time.Millisecond // and a second more on this side
	err := workers.WhileLocked(t.Context(), open(t, config), func(db *database.Pool) error {
		_, err := db.Exec(t.Context(), "SELECT pg_sleep(1.1)")
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestInstancesShareTheJobs(t *testing.T) {
	t.Parallel()
	config := databasetest.Config(t)
	if err := workers.Migrate(t.Context(), open(t, config), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	const jobs = 400
	var (
		mu   sync.Mutex
		runs = make(map[string]int)
		by   [2]int
		done = make(chan struct{})
	)
	pools := make([]*workers.Pool, 2)
	for i := range pools {
		pools[i] = workerstest.New(t, open(t, config), workerstest.Config())
		workers.Add(pools[i], river.WorkFunc(func(_ context.Context, job *river.Job[noteArgs]) error {
			mu.Lock()
			defer mu.Unlock()
			by[i]++
			runs[job.Args.Text]++
			if by[0]+by[1] == jobs {
				close(done)
			}
			return nil
		}))
		workerstest.Start(t, pools[i])
	}
	for i := range jobs {
		if _, err := pools[0].Enqueue(t.Context(), noteArgs{fmt.Sprint(i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	mu.Lock()
	defer mu.Unlock()
	for text, n := range runs {
		if n != 1 {
			t.Errorf("job %s ran %d times", text, n)
		}
	}
	if len(runs) != jobs || by[0] == 0 || by[1] == 0 {
		t.Errorf("%d jobs ran, %v of them on each instance", len(runs), by)
	}
}

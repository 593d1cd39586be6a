package imports_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"example.com/orders/internal/progress"
	"example.com/orders/internal/progress/imports"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/workers/workerstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An import that runs again, as after a crash, leaves each price once.
func TestImportIsIdempotent(t *testing.T) {
	t.Parallel()
	db := workerstest.Database(t)
	pool := workerstest.New(t, db, workerstest.Config())
	tracker, err := progress.New(pool, db, progress.Config{
		WriteInterval: 10 * time.Millisecond, WriteTimeout: 10 * time.Second, MaxReads: 1, ReadTimeout: 10 * time.Second,
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	imports.Register(pool, db, imports.Config{})
	workerstest.Start(t, pool)
	for _, rows := range []int64{150, 250} { // the second has all of the first
		job, err := pool.Enqueue(t.Context(), imports.Args{List: "spring", Rows: rows}, nil)
		if err != nil {
			t.Fatal(err)
		}
		waittest.Until(t, func() error {
			p, err := tracker.Get(t.Context(), job.Job.ID)
			if err == nil && (p.State != progress.Succeeded || p.Done != rows) {
				err = fmt.Errorf("%+v", p)
			}
			return err
		})
		if n := countPrices(t, db); n != rows {
			t.Errorf("%d prices, want %d", n, rows)
		}
	}
}

func TestConfigNamesTheVariable(t *testing.T) {
	t.Parallel()
	if err := (imports.Config{Pause: -1}).Validate(); err == nil || !strings.HasPrefix(err.Error(), "PROGRESS_IMPORT_PAUSE=") {
		t.Errorf("%v, want the variable named", err)
	}
}

// Package imports is the example of progress: a price list is imported page by
// page, and the job says how far it has come. It stands to be replaced by what
// your service does.
//
// It knows nothing of HTTP routes.
package imports

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/riverqueue/river"

	"example.com/orders/internal/database"
	"example.com/orders/internal/progress"
	"example.com/orders/internal/setting"
	"example.com/orders/internal/workers"
)

// Config says how imports behave.
type Config struct {
	// Pause is how long an import rests after each page, to leave the database to
	// others.
	Pause time.Duration `env:"PROGRESS_IMPORT_PAUSE" envDefault:"50ms"`
}

// Validate reports a pause that can't be meant.
func (c Config) Validate() error {
	return setting.Between("PROGRESS_IMPORT_PAUSE", c.Pause, 0, 24*time.Hour)
}

// Args is the job that imports a price list. The example makes the prices up;
// yours has a file to read them from.
type Args struct {
	List string `json:"list"`
	Rows int64  `json:"rows"`
}

// Kind implements [river.JobArgs].
func (Args) Kind() string { return "import" }

const (
	maxRows  = 50_000 // half a minute and a bit, with the default pause
	pageSize = 100
)

var listName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// A request is what callers may ask for.
type request Args

// Validate implements [workers.Request].
func (r request) Validate() error {
	switch {
	case !listName.MatchString(r.List):
		return errors.New("list: must be 1 to 64 of a-z, 0-9 and -")
	case r.Rows < 1 || r.Rows > maxRows:
		return fmt.Errorf("rows: must be 1 to %d", maxRows)
	}
	return nil
}

// Register adds the example's kind of jobs to the pool, and lets callers ask for
// it.
func Register(p *workers.Pool, db *database.Pool, config Config) {
	workers.Add(p, &worker{db: db, pause: config.Pause})
	workers.Accept(p, Args{}.Kind(), func(_ context.Context, _ database.Tx, r request) (river.JobArgs, error) {
		return Args(r), nil
	})
}

type worker struct {
	river.WorkerDefaults[Args]
	db    *database.Pool
	pause time.Duration
}

// importSQL writes the prices of a page, which may be there from an attempt that
// was cut off.
const importSQL = `
	WITH RECURSIVE page (item) AS (
		SELECT CAST($2 AS bigint) UNION ALL SELECT item + 1 FROM page WHERE item < CAST($3 AS bigint)
	)
	INSERT INTO progress_prices (list, item, cents)
	SELECT $1, item, 100 + item % 900 FROM page WHERE true
	ON CONFLICT (list, item) DO UPDATE SET cents = excluded.cents`

// Work implements [river.Worker]. Each page is committed by itself.
func (w *worker) Work(ctx context.Context, job *river.Job[Args]) error {
	list, rows := job.Args.List, job.Args.Rows
	progress.Report(ctx, 0, rows, "begins")
	for done := int64(0); done < rows; {
		last := min(done+pageSize, rows)
		if err := exec(ctx, w.db, importSQL, list, done+1, last); err != nil {
			return fmt.Errorf("import prices of %s: %w", list, err)
		}
		done = last
		progress.Report(ctx, done, rows, fmt.Sprintf("item %d of %s", done, list))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(w.pause):
		}
	}
	return nil
}

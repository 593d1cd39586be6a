package workflow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // the engine's SQLite dialect

	"example.com/orders/internal/database"
	"example.com/orders/internal/setting"
)

// EngineConfig is the engine's own part of the configuration.
type EngineConfig struct {
	// Path is the engine's database, a file of its own: its tables have names,
	// such as queues and streams, that a service wants for itself, and it closes
	// what it is given.
	Path string `env:"WORKFLOW_DBOS_PATH" envDefault:"data/workflow.db"`
	Attempts
}

// Validate reports a value that can't be meant.
func (c EngineConfig) Validate() error {
	return errors.Join(
		setting.Check(c.Path != "", "WORKFLOW_DBOS_PATH: must be the path of a file"),
		c.validate(),
	)
}

// dbosBusy is how long the engine waits for another process's write.
const dbosBusy = 5 * time.Second

// dbosDatabase is where the engine keeps what has happened. Only one process has
// the file, which is why its executor can always be the same: what it left is its
// own.
type dbosDatabase struct {
	executor string
	pool     *database.Pool
}

func openDBOS(ctx context.Context, config EngineConfig, _ Deps) (dbosDatabase, error) {
	pool, err := database.Open(ctx, database.Config{Path: config.Path, BusyTimeout: dbosBusy})
	if err != nil {
		return dbosDatabase{}, fmt.Errorf("WORKFLOW_DBOS_PATH=%s: %w", config.Path, err)
	}
	return dbosDatabase{executor: "local", pool: pool}, nil
}

func (d dbosDatabase) use(config *dbos.Config) { config.SQLiteSystemDB = d.pool }

func (d dbosDatabase) ping(ctx context.Context) error { return database.Ping(ctx, d.pool) }

func (d dbosDatabase) run(ctx context.Context, _ *dbosEngine) error {
	<-ctx.Done()
	return nil
}

func (d dbosDatabase) enter(context.Context) error { return nil }

func (d dbosDatabase) leave(context.Context) error { return nil }

func (d dbosDatabase) close() error { return database.Close(d.pool) }

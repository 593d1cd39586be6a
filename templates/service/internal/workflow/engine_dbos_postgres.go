//go:build !temporal && !stepfunctions && postgres

package workflow

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/setting"
)

// EngineConfig is the engine's own part of the configuration.
type EngineConfig struct {
	// MaxConns is how many connections to the database the engine has, beside
	// those of the service.
	MaxConns int32 `env:"WORKFLOW_DBOS_MAX_CONNS" envDefault:"4"`
	// Lease is how long an instance may not be heard of before others take over
	// its workflows.
	Lease time.Duration `env:"WORKFLOW_DBOS_LEASE" envDefault:"15s"`
	Attempts
}

// Validate reports a value that can't be meant.
func (c EngineConfig) Validate() error {
	return errors.Join(
		setting.Between("WORKFLOW_DBOS_MAX_CONNS", c.MaxConns, 2, 1_000), // one listens
		setting.Between("WORKFLOW_DBOS_LEASE", c.Lease, 100*time.Millisecond, time.Hour),
		c.validate(),
	)
}

// dbosSchema is the schema of the engine's tables, in the service's database.
const dbosSchema = "dbos"

// dbosDatabase is where the engine keeps what has happened. Each process is an
// executor of its own: two that had one name would take each other's workflows
// for their own, and run steps twice. So it is noted who is alive, and the living
// take over what the dead have left.
type dbosDatabase struct {
	executor string
	lease    time.Duration
	pool     *database.Pool // of the service
	own      *pgxpool.Pool  // the engine's, which closes it
	log      *slog.Logger
}

func openDBOS(ctx context.Context, config EngineConfig, deps Deps) (dbosDatabase, error) {
	c := deps.Database.Config()
	c.MaxConns, c.MinConns = config.MaxConns, 0
	own, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return dbosDatabase{}, err
	}
	return dbosDatabase{executor: rand.Text(), lease: config.Lease, pool: deps.Database, own: own, log: deps.Log}, nil
}

func (d dbosDatabase) use(config *dbos.Config) {
	config.SystemDBPool, config.DatabaseSchema = d.own, dbosSchema
}

func (d dbosDatabase) ping(ctx context.Context) error { return d.own.Ping(ctx) }

// run says that this instance is alive, and takes over from those that are not.
func (d dbosDatabase) run(ctx context.Context, engine *dbosEngine) error {
	period := time.NewTicker(d.lease / 3)
	defer period.Stop()
	for {
		if err := d.beat(ctx, engine); err != nil && ctx.Err() == nil {
			d.log.WarnContext(ctx, "workflow executor: not heard of for now", "executor", d.executor, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-period.C:
		}
	}
}

func (d dbosDatabase) beat(ctx context.Context, engine *dbosEngine) error {
	ctx, cancel := context.WithTimeout(ctx, d.lease/3)
	defer cancel()
	if err := d.enter(ctx); err != nil {
		return err
	}
	// The dead are taken by one heir each. An heir that dies over it is followed
	// by another.
	rows, err := d.pool.Query(ctx, `UPDATE workflow_executors SET heir = $1, heir_at = clock_timestamp()
		WHERE id <> $1 AND seen_at < clock_timestamp() - $2::interval
			AND (heir = '' OR heir = $1 OR heir_at < clock_timestamp() - $2::interval)
		RETURNING id`, d.executor, d.lease)
	if err != nil {
		return err
	}
	var dead []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			rows.Close()
			return err
		}
		dead = append(dead, id)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, id := range dead {
		if err := d.inherit(ctx, engine, id); err != nil {
			return fmt.Errorf("take over from %s: %w", id, err)
		}
	}
	return nil
}

func (d dbosDatabase) inherit(ctx context.Context, engine *dbosEngine, dead string) error {
	var ids []string
	err := engine.calls.within(ctx, func() error {
		left, err := dbos.ListWorkflows(engine.dbos, dbos.WithFilterExecutorIDs(dead), dbos.WithFilterStatus(dbos.WorkflowStatusPending),
			dbos.WithFilterAppVersion(dbosVersion), dbos.WithFilterLoadInput(false), dbos.WithFilterLoadOutput(false))
		if err != nil || len(left) == 0 {
			return err
		}
		for _, w := range left {
			ids = append(ids, w.ID)
		}
		_, err = dbos.ResumeWorkflows[Outcome](engine.dbos, ids)
		return err
	})
	if err != nil {
		return err
	}
	d.log.InfoContext(ctx, "workflow executor: took over", "from", dead, "workflows", len(ids))
	_, err = d.pool.Exec(ctx, `DELETE FROM workflow_executors WHERE id = $1`, dead)
	return err
}

// enter notes that this instance is alive.
func (d dbosDatabase) enter(ctx context.Context) error {
	_, err := d.pool.Exec(ctx, `INSERT INTO workflow_executors (id, seen_at) VALUES ($1, clock_timestamp())
		ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()`, d.executor)
	return err
}

// leave tells the others at once that this instance is gone.
func (d dbosDatabase) leave(ctx context.Context) error {
	_, err := d.pool.Exec(ctx, `UPDATE workflow_executors SET seen_at = 'epoch' WHERE id = $1`, d.executor)
	return err
}

func (d dbosDatabase) close() error { return database.Close(d.own) }

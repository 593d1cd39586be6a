package main

import (
	"context"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/workers"
)

// setupWorkers builds the pool that works jobs. It starts when all parts have
// registered their kinds with it, and begins to drain as soon as the service
// goes down.
func (a *App) setupWorkers(ctx context.Context) error {
	config, err := loadConfig[workers.Config](a.getenv)
	if err != nil {
		return err
	}
	databaseConfig, err := loadConfig[database.Config](a.getenv)
	if err != nil {
		return err
	}
	if databaseConfig.Migrate {
		if err := workers.Migrate(ctx, a.database, a.log); err != nil {
			return err
		}
	}
	a.workers, err = workers.New(a.database, config, a.log, a.metrics, a.tracing)
	if err != nil {
		return err
	}
	a.life.OnStart("workers", a.workers.Start)
	a.life.OnDrain(a.workers.Drain)
	a.life.OnStop("workers", a.workers.Stop)
	return nil
}

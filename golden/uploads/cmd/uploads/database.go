package main

import (
	"context"

	"example.com/orders/internal/database"
	"example.com/orders/migrations"
)

// setupDatabase opens the database and brings its schema up to date.
func (a *App) setupDatabase(s *settings) start {
	config := loadConfig[database.Config](s)
	return func(ctx context.Context) error {
		var err error
		a.database, err = database.Open(ctx, config)
		if err != nil {
			return err
		}
		a.outage = database.IsOutage
		a.life.OnStop("database", func(context.Context) error { return database.Close(a.database) })
		a.life.OnReady("database", func(ctx context.Context) error { return database.Ping(ctx, a.database) })
		if err := a.metrics.Register(database.Metrics(a.database)); err != nil {
			return err
		}
		if !config.Migrate {
			return nil
		}
		return database.Migrate(ctx, a.database, migrations.FS, config.MigrationsTable, a.log)
	}
}

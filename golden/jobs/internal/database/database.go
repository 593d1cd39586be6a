// Package database opens the service's database, brings its schema up to date,
// and runs transactions. What differs from one kind of database to another
// stands in the file of that kind.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"

	"github.com/pressly/goose/v3"
)

var tableName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

func validateTable(name string) error {
	if !tableName.MatchString(name) {
		return fmt.Errorf("DATABASE_MIGRATIONS_TABLE=%s: must be the name of a table, of a-z, 0-9 and _", name)
	}
	return nil
}

// migrate applies the migrations in files that db has not seen, in order of
// their numbers. A number below one that was applied before is no error: parts
// are added to a service in any order, and each has numbers of its own.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, files fs.FS, table string, log *slog.Logger, options ...goose.ProviderOption) error {
	options = append(options, goose.WithTableName(table), goose.WithAllowOutofOrder(true), goose.WithSlog(log), goose.WithDisableGlobalRegistry(true))
	provider, err := goose.NewProvider(dialect, db, files, options...)
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	applied, err := provider.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		return fmt.Errorf("migration %s: %w", partial.Failed.Source.Path, partial.Err)
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, m := range applied {
		log.InfoContext(ctx, "migrated", "migration", m.Source.Path, "took", m.Duration)
	}
	return nil
}

package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/riverqueue/river/rivermigrate"

	"example.com/orders/internal/database"
)

// Migrate brings River's own tables up to date.
func Migrate(ctx context.Context, db *database.Pool, log *slog.Logger) error {
	return whileLocked(ctx, db, func(db *database.Pool) error {
		migrator, err := rivermigrate.New(driver(db), &rivermigrate.Config{Logger: log})
		if err != nil {
			return fmt.Errorf("migrate River's tables: %w", err)
		}
		if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return fmt.Errorf("migrate River's tables: %w", err)
		}
		return nil
	})
}

// verify reports whether River's tables are up to date.
func verify(ctx context.Context, db *database.Pool, log *slog.Logger) error {
	migrator, err := rivermigrate.New(driver(db), &rivermigrate.Config{Logger: log})
	if err != nil {
		return fmt.Errorf("check River's tables: %w", err)
	}
	result, err := migrator.Validate(ctx, nil)
	if err != nil {
		return fmt.Errorf("check River's tables: %w", err)
	}
	if !result.OK {
		return errors.New("the tables of River are not up to date: start once with DATABASE_MIGRATE=true")
	}
	return nil
}

//go:build postgres

package imports

import (
	"context"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

func exec(ctx context.Context, db *database.Pool, statement string, args ...any) error {
	_, err := db.Exec(ctx, statement, args...)
	return err
}

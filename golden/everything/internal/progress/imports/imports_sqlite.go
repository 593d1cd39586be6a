package imports

import (
	"context"

	"example.com/orders/internal/database"
)

func exec(ctx context.Context, db *database.Pool, statement string, args ...any) error {
	_, err := db.ExecContext(ctx, statement, args...)
	return err
}

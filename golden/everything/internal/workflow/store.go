package workflow

import (
	"context"
	"fmt"
	"time"

	"example.com/orders/internal/database"
)

// store reads what the steps have written. Times are milliseconds since 1970.
type store struct{ db *database.Pool }

// A scanner is a row of either kind of database.
type scanner interface{ Scan(...any) error }

func (s store) fulfilment(ctx context.Context, id string) (Fulfilment, error) {
	var f Fulfilment
	var created, updated int64
	err := queryRow(ctx, s.db, `SELECT id, sku, quantity, cents, country, engine, outcome, reason, created_at, updated_at
		FROM workflow_fulfilments WHERE id = $1`, id).
		Scan(&f.ID, &f.SKU, &f.Quantity, &f.Cents, &f.Country, &f.Engine, &f.Outcome, &f.Reason, &created, &updated)
	if isNoRows(err) {
		return Fulfilment{}, ErrNotFound
	}
	if err != nil {
		return Fulfilment{}, fmt.Errorf("read the order: %w", err)
	}
	f.CreatedAt, f.UpdatedAt = time.UnixMilli(created), time.UnixMilli(updated)
	return f, nil
}

func (s store) withHistory(ctx context.Context, id string) (Fulfilment, error) {
	f, err := s.fulfilment(ctx, id)
	if err != nil {
		return Fulfilment{}, err
	}
	err = query(ctx, s.db, `SELECT step, detail, at FROM workflow_history WHERE order_id = $1 ORDER BY number`, []any{id}, func(row scanner) error {
		var e Event
		var at int64
		if err := row.Scan(&e.Step, &e.Detail, &at); err != nil {
			return err
		}
		e.At = time.UnixMilli(at)
		f.History = append(f.History, e)
		return nil
	})
	if err != nil {
		return Fulfilment{}, fmt.Errorf("read the order's history: %w", err)
	}
	return f, nil
}

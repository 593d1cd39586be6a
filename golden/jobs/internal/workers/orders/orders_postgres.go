package orders

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/orders/internal/database"
)

const (
	insertOrderSQL = `
		INSERT INTO workers_orders (id, customer, total_cents, placed_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO NOTHING`
	listOrdersSQL = `
		SELECT id, total_cents FROM workers_orders
		WHERE ($1 = '' OR customer = $1) AND id > $2
		ORDER BY id LIMIT $3`
	insertInvoiceSQL = `
		INSERT INTO workers_invoices (order_id, issued_at) VALUES ($1, $2)
		ON CONFLICT (order_id) DO NOTHING`
	getInvoiceSQL = `
		SELECT i.number, i.order_id, o.customer, o.total_cents, i.issued_at
		FROM workers_invoices i JOIN workers_orders o ON o.id = i.order_id
		WHERE i.order_id = $1`
)

// insertOrder reports whether the order is new.
func insertOrder(ctx context.Context, tx database.Tx, o Order, now time.Time) (bool, error) {
	tag, err := tx.Exec(ctx, insertOrderSQL, o.ID, o.Customer, o.total(), now)
	if err != nil {
		return false, fmt.Errorf("insert order: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

func insertInvoice(ctx context.Context, db *database.Pool, order string, now time.Time) error {
	if _, err := db.Exec(ctx, insertInvoiceSQL, order, now); err != nil {
		return fmt.Errorf("insert invoice of order %s: %w", order, err)
	}
	return nil
}

func getInvoice(ctx context.Context, db *database.Pool, order string) (Invoice, error) {
	var i Invoice
	err := db.QueryRow(ctx, getInvoiceSQL, order).Scan(&i.Number, &i.Order, &i.Customer, &i.TotalCents, &i.IssuedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return Invoice{}, ErrNoInvoice
	}
	if err != nil {
		return Invoice{}, fmt.Errorf("get invoice of order %s: %w", order, err)
	}
	i.IssuedAt = i.IssuedAt.UTC()
	return i, nil
}

// listOrders returns up to limit orders with ids above after, in order.
func listOrders(ctx context.Context, db *database.Pool, customer, after string, limit int) ([]orderTotal, error) {
	rows, err := db.Query(ctx, listOrdersSQL, customer, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o orderTotal, err error) {
		err = row.Scan(&o.id, &o.cents)
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	return page, nil
}

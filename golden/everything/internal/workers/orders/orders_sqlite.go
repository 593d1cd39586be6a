package orders

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

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
	result, err := tx.ExecContext(ctx, insertOrderSQL, o.ID, o.Customer, o.total(), now.UnixMilli())
	if err != nil {
		return false, fmt.Errorf("insert order: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func insertInvoice(ctx context.Context, db *database.Pool, order string, now time.Time) error {
	if _, err := db.ExecContext(ctx, insertInvoiceSQL, order, now.UnixMilli()); err != nil {
		return fmt.Errorf("insert invoice of order %s: %w", order, err)
	}
	return nil
}

func getInvoice(ctx context.Context, db *database.Pool, order string) (Invoice, error) {
	var (
		i      Invoice
		issued int64
	)
	err := db.QueryRowContext(ctx, getInvoiceSQL, order).Scan(&i.Number, &i.Order, &i.Customer, &i.TotalCents, &issued)
	if errors.Is(err, sql.ErrNoRows) {
		return Invoice{}, ErrNoInvoice
	}
	if err != nil {
		return Invoice{}, fmt.Errorf("get invoice of order %s: %w", order, err)
	}
	i.IssuedAt = time.UnixMilli(issued).UTC()
	return i, nil
}

// listOrders returns up to limit orders with ids above after, in order.
func listOrders(ctx context.Context, db *database.Pool, customer, after string, limit int) (page []orderTotal, err error) {
	rows, err := db.QueryContext(ctx, listOrdersSQL, customer, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var o orderTotal
		if err := rows.Scan(&o.id, &o.cents); err != nil {
			return nil, fmt.Errorf("list orders: %w", err)
		}
		page = append(page, o)
	}
	return page, rows.Err()
}

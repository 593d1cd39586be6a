package accounts

import (
	"context"
	"fmt"
	"strings"

	"example.com/orders/internal/database"
	"example.com/orders/internal/eventsourcing"
)

const (
	openBalanceSQL = `INSERT INTO eventsourcing_balances (generation, account, owner, cents) VALUES ($1, $2, $3, 0)`
	addBalanceSQL  = `UPDATE eventsourcing_balances SET cents = cents + $3 WHERE generation = $1 AND account = $2`
	dropSQL        = `DELETE FROM eventsourcing_balances WHERE generation = $1`
	listSQL        = `
		SELECT b.account, b.owner, b.cents FROM eventsourcing_balances b
		JOIN eventsourcing_projections p ON p.generation = b.generation AND p.name = 'balances' AND p.live
		WHERE b.account > $1
		ORDER BY b.account LIMIT $2`
)

// A Balance is an account in the list.
type Balance struct {
	Account string `json:"account"`
	Owner   string `json:"owner"`
	Cents   int64  `json:"cents"`
}

// balance keeps the list of balances.
func balance(ctx context.Context, tx database.Tx, generation int64, e eventsourcing.Event) error {
	account := strings.TrimPrefix(e.Stream, accountKind+"-")
	switch v := e.Value.(type) {
	case Opened:
		return exec(ctx, tx, openBalanceSQL, generation, account, v.Owner)
	case Deposited:
		return exec(ctx, tx, addBalanceSQL, generation, account, v.Cents)
	case Withdrawn:
		return exec(ctx, tx, addBalanceSQL, generation, account, -v.Cents)
	}
	return nil
}

func dropBalances(ctx context.Context, tx database.Tx, generation int64) error {
	return exec(ctx, tx, dropSQL, generation)
}

// Balances returns up to limit accounts whose ids come after one, in their order.
// It may be behind by what the projection has yet to work off.
func (b *Bank) Balances(ctx context.Context, after string, limit int) ([]Balance, error) {
	balances, err := list(ctx, b.db, after, limit)
	if err != nil {
		return nil, fmt.Errorf("balances: %w", err)
	}
	return balances, nil
}

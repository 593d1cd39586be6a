// Package accounts is the example of event sourcing: accounts, what they hold, and
// transfers between them that go step by step. It stands to be replaced by what
// your service does.
//
// It knows nothing of HTTP.
package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"example.com/orders/internal/database"
	"example.com/orders/internal/eventsourcing"
)

// What can happen to an account.
type (
	// Opened means that there is an account.
	Opened struct {
		Owner string `json:"owner"`
	}
	// Deposited means that money came in.
	Deposited struct {
		Cents    int64  `json:"cents"`
		Currency string `json:"currency"`
		// Transfer is the one that brought it, and Refund says that it came back.
		Transfer string `json:"transfer,omitempty"`
		Refund   bool   `json:"refund,omitempty"`
	}
	// Withdrawn means that money went out.
	Withdrawn struct {
		Cents    int64  `json:"cents"`
		Transfer string `json:"transfer,omitempty"`
	}
)

// What can happen to a transfer.
type (
	// Requested means that somebody wants it.
	Requested struct {
		From  string `json:"from"`
		To    string `json:"to"`
		Cents int64  `json:"cents"`
	}
	// Completed means that the money is where it was to go.
	Completed struct{}
	// Rejected means that it is where it was.
	Rejected struct {
		Reason string `json:"reason"`
	}
)

// currency is that of all accounts.
const currency = "EUR"

// Register adds the example's events to the types.
func Register(types *eventsourcing.Types) {
	eventsourcing.Register[Opened](types, "account_opened")
	// The first deposits did not say in which currency: there was one.
	eventsourcing.Register[Deposited](types, "account_deposited", func(data json.RawMessage) (json.RawMessage, error) {
		var fields map[string]any
		if err := json.Unmarshal(data, &fields); err != nil {
			return nil, err
		}
		fields["currency"] = currency
		return json.Marshal(fields)
	})
	eventsourcing.Register[Withdrawn](types, "account_withdrawn")
	eventsourcing.Register[Requested](types, "transfer_requested")
	eventsourcing.Register[Completed](types, "transfer_completed")
	eventsourcing.Register[Rejected](types, "transfer_rejected")
}

// An Account is the state of one.
type Account struct {
	Owner    string `json:"owner"`
	Cents    int64  `json:"cents"`
	Currency string `json:"currency"`
}

func (a Account) open() bool { return a.Owner != "" }

func applyAccount(a Account, e eventsourcing.Event) Account {
	switch v := e.Value.(type) {
	case Opened:
		a.Owner, a.Currency = v.Owner, currency
	case Deposited:
		a.Cents += v.Cents
	case Withdrawn:
		a.Cents -= v.Cents
	}
	return a
}

// A Transfer is the state of one.
type Transfer struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Cents  int64  `json:"cents"`
	State  string `json:"state"` // requested, completed or rejected
	Reason string `json:"reason,omitempty"`
}

func applyTransfer(t Transfer, e eventsourcing.Event) Transfer {
	switch v := e.Value.(type) {
	case Requested:
		t = Transfer{From: v.From, To: v.To, Cents: v.Cents, State: "requested"}
	case Completed:
		t.State = "completed"
	case Rejected:
		t.State, t.Reason = "rejected", v.Reason
	}
	return t
}

// What a caller can tell apart.
var (
	ErrExists   = errors.New("is there already")
	ErrNotFound = errors.New("is not there")
)

// A Bank keeps accounts. It is safe for concurrent use.
type Bank struct {
	db        *database.Pool
	log       *eventsourcing.Log
	accounts  *eventsourcing.Aggregate[Account]
	transfers *eventsourcing.Aggregate[Transfer]
}

// The kinds of streams.
const (
	accountKind  = "account"
	transferKind = "transfer"
)

// New returns the bank whose events are in the log.
func New(log *eventsourcing.Log, db *database.Pool) *Bank {
	return &Bank{
		db: db, log: log,
		accounts:  eventsourcing.NewAggregate(log, accountKind, 1, applyAccount),
		transfers: eventsourcing.NewAggregate(log, transferKind, 1, applyTransfer),
	}
}

// Open opens an account. The error is [ErrExists] where there is one of that id.
func (b *Bank) Open(ctx context.Context, id, owner string) (Account, error) {
	a, _, err := b.accounts.Update(ctx, id, func(a Account) ([]any, error) {
		if a.open() {
			return nil, fmt.Errorf("account %s: %w", id, ErrExists)
		}
		return []any{Opened{Owner: owner}}, nil
	})
	return a, err
}

// Deposit puts cents, more than 0, into an account. The error is [ErrNotFound]
// where there is none of that id.
func (b *Bank) Deposit(ctx context.Context, id string, cents int64) (Account, error) {
	a, _, err := b.accounts.Update(ctx, id, func(a Account) ([]any, error) {
		if !a.open() {
			return nil, fmt.Errorf("account %s: %w", id, ErrNotFound)
		}
		return []any{Deposited{Cents: cents, Currency: currency}}, nil
	})
	return a, err
}

// Account returns the account as it is now, or [ErrNotFound].
func (b *Bank) Account(ctx context.Context, id string) (Account, error) {
	a, _, err := b.accounts.Load(ctx, id)
	if err == nil && !a.open() {
		err = fmt.Errorf("account %s: %w", id, ErrNotFound)
	}
	return a, err
}

// History returns up to limit of the things that happened to an account after a
// version, in order.
func (b *Bank) History(ctx context.Context, id string, after int64, limit int) ([]eventsourcing.Event, error) {
	return b.log.Stream(ctx, b.accounts.Stream(id), after, limit)
}

// Request asks for a transfer, which then goes on by itself. The error is
// [ErrExists] where there is one of that id. The same one asked for again is the
// same one.
func (b *Bank) Request(ctx context.Context, id string, r Requested) (Transfer, error) {
	t, _, err := b.transfers.Update(ctx, id, func(t Transfer) ([]any, error) {
		switch {
		case t.State == "":
			return []any{r}, nil
		case r == Requested{From: t.From, To: t.To, Cents: t.Cents}:
			return nil, nil
		}
		return nil, fmt.Errorf("transfer %s: %w", id, ErrExists)
	})
	return t, err
}

// Transfer returns a transfer as it is now, or [ErrNotFound].
func (b *Bank) Transfer(ctx context.Context, id string) (Transfer, error) {
	t, _, err := b.transfers.Load(ctx, id)
	if err == nil && t.State == "" {
		err = fmt.Errorf("transfer %s: %w", id, ErrNotFound)
	}
	return t, err
}

// Projections are what follows from the events: the balances, to be listed, and
// the steps of the transfers.
func (b *Bank) Projections() []eventsourcing.Projection {
	return []eventsourcing.Projection{
		{Name: "balances", Handle: balance, Drop: dropBalances},
		{Name: "transfers", Handle: b.step},
	}
}

// step takes the next step of a transfer: what was requested is withdrawn, what
// was withdrawn is deposited, or comes back, and then it is over.
func (b *Bank) step(ctx context.Context, tx database.Tx, _ int64, e eventsourcing.Event) error {
	switch v := e.Value.(type) {
	case Requested:
		return b.withdraw(ctx, tx, strings.TrimPrefix(e.Stream, transferKind+"-"), v)
	case Withdrawn:
		if v.Transfer != "" {
			return b.deposit(ctx, tx, v.Transfer)
		}
	case Deposited:
		if v.Transfer != "" && !v.Refund {
			return b.end(ctx, tx, v.Transfer, Completed{})
		}
	}
	return nil
}

func (b *Bank) withdraw(ctx context.Context, tx database.Tx, id string, r Requested) error {
	refused := ""
	err := b.accounts.UpdateTx(ctx, tx, r.From, func(a Account) ([]any, error) {
		switch {
		case !a.open():
			refused = "there is no account " + r.From
		case a.Cents < r.Cents:
			refused = fmt.Sprintf("account %s holds less", r.From)
		default:
			return []any{Withdrawn{Cents: r.Cents, Transfer: id}}, nil
		}
		return nil, nil
	})
	if err != nil || refused == "" {
		return err
	}
	return b.end(ctx, tx, id, Rejected{Reason: refused})
}

func (b *Bank) deposit(ctx context.Context, tx database.Tx, id string) error {
	t, err := b.transfers.LoadTx(ctx, tx, id)
	if err != nil {
		return err
	}
	into := Deposited{Cents: t.Cents, Currency: currency, Transfer: id}
	refused := false
	err = b.accounts.UpdateTx(ctx, tx, t.To, func(a Account) ([]any, error) {
		if refused = !a.open(); refused {
			return nil, nil
		}
		return []any{into}, nil
	})
	if err != nil || !refused {
		return err
	}
	into.Refund = true
	if err := b.accounts.UpdateTx(ctx, tx, t.From, func(Account) ([]any, error) { return []any{into}, nil }); err != nil {
		return err
	}
	return b.end(ctx, tx, id, Rejected{Reason: "there is no account " + t.To})
}

func (b *Bank) end(ctx context.Context, tx database.Tx, id string, with any) error {
	return b.transfers.UpdateTx(ctx, tx, id, func(Transfer) ([]any, error) { return []any{with}, nil })
}

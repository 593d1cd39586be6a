// Package orders is the example of the workers: an order is placed together with
// the job that writes its invoice, and a report adds up all orders. It stands to
// be replaced by what your service does.
//
// It knows nothing of HTTP routes.
package orders

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"example.com/orders/internal/database"
	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/setting"
	"example.com/orders/internal/workers"
)

// Config says how reports behave.
type Config struct {
	// ReportPause is how long a report rests after each page of orders, to leave
	// the database to others.
	ReportPause time.Duration `env:"WORKERS_REPORT_PAUSE" envDefault:"10ms"`
}

// Validate reports a pause that can't be meant.
func (c Config) Validate() error {
	return setting.Between("WORKERS_REPORT_PAUSE", c.ReportPause, 0, 24*time.Hour)
}

// An Order is what a caller orders.
type Order struct {
	// ID is the caller's own, to find the order by.
	ID       string `json:"order"`
	Customer string `json:"customer"`
	Lines    []Line `json:"lines"`
}

// A Line is one item of an order, at a price in cents apiece.
type Line struct {
	Item     string `json:"item"`
	Quantity int64  `json:"quantity"`
	Cents    int64  `json:"cents"`
}

const (
	maxText     = 200
	maxLines    = 100
	maxQuantity = 1_000_000
	maxCents    = 100_000_000
)

// Validate implements [workers.Request].
func (o Order) Validate() error {
	switch {
	case o.ID == "" || !text(o.ID):
		return fmt.Errorf("order: must have 1 to %d bytes, none of them zero", maxText)
	case o.Customer == "" || !text(o.Customer):
		return fmt.Errorf("customer: must have 1 to %d bytes, none of them zero", maxText)
	case len(o.Lines) == 0 || len(o.Lines) > maxLines:
		return fmt.Errorf("lines: must be 1 to %d", maxLines)
	}
	for i, l := range o.Lines {
		switch {
		case l.Item == "" || !text(l.Item):
			return fmt.Errorf("lines[%d].item: must have 1 to %d bytes, none of them zero", i, maxText)
		case l.Quantity < 1 || l.Quantity > maxQuantity:
			return fmt.Errorf("lines[%d].quantity: must be 1 to %d", i, maxQuantity)
		case l.Cents < 0 || l.Cents > maxCents:
			return fmt.Errorf("lines[%d].cents: must be 0 to %d", i, maxCents)
		}
	}
	return nil
}

// text reports whether every database takes s as text.
func text(s string) bool {
	return len(s) <= maxText && !strings.ContainsRune(s, 0)
}

func (o Order) total() int64 {
	var cents int64
	for _, l := range o.Lines {
		cents += l.Quantity * l.Cents
	}
	return cents
}

// An Invoice is an order's bill.
type Invoice struct {
	Number     int64     `json:"number"`
	Order      string    `json:"order"`
	Customer   string    `json:"customer"`
	TotalCents int64     `json:"total_cents"`
	IssuedAt   time.Time `json:"issued_at"`
}

// ErrNoInvoice means that there is no such order, or its job has yet to run.
var ErrNoInvoice = errors.New("there is no invoice")

// Get returns the invoice of an order, or [ErrNoInvoice].
func Get(ctx context.Context, db *database.Pool, order string) (Invoice, error) {
	return getInvoice(ctx, db, order)
}

// Register adds the example's kinds of jobs to the pool, lets callers ask for
// them, and has a report made each night.
func Register(p *workers.Pool, db *database.Pool, config Config) {
	workers.Add(p, &invoiceWorker{db: db})
	workers.Accept(p, invoiceArgs{}.Kind(), place)
	workers.Add(p, &reportWorker{db: db, pause: config.ReportPause})
	workers.Accept(p, reportArgs{}.Kind(), func(_ context.Context, _ database.Tx, r reportRequest) (river.JobArgs, error) {
		return reportArgs(r), nil
	})
	p.AddPeriodic("nightly-report", workers.Daily(2, 0, time.UTC), func() (river.JobArgs, *river.InsertOpts) {
		return reportArgs{}, nil
	})
}

// place writes the order, and returns the job that writes its invoice.
func place(ctx context.Context, tx database.Tx, o Order) (river.JobArgs, error) {
	inserted, err := insertOrder(ctx, tx, o, time.Now())
	if err != nil {
		return nil, err
	}
	if !inserted {
		return nil, httpapi.NewProblem(http.StatusConflict, fmt.Sprintf("There is an order %q already.", o.ID))
	}
	return invoiceArgs{Order: o.ID}, nil
}

// invoiceArgs is the job that writes the invoice of an order.
type invoiceArgs struct {
	Order string `json:"order"`
}

// Kind implements [river.JobArgs].
func (invoiceArgs) Kind() string { return "invoice" }

type invoiceWorker struct {
	river.WorkerDefaults[invoiceArgs]
	db *database.Pool
}

// Work implements [river.Worker]. It may run twice, when it is killed after the
// invoice is written and before that is noted: the invoice is still one.
func (w *invoiceWorker) Work(ctx context.Context, job *river.Job[invoiceArgs]) error {
	if err := insertInvoice(ctx, w.db, job.Args.Order, time.Now()); err != nil {
		return err
	}
	invoice, err := getInvoice(ctx, w.db, job.Args.Order)
	if err != nil {
		return err
	}
	return river.RecordOutput(ctx, invoice)
}

// reportArgs is the job that adds up orders.
type reportArgs struct {
	// Customer is whose orders; all, where it is empty.
	Customer string `json:"customer,omitempty"`
}

// Kind implements [river.JobArgs].
func (reportArgs) Kind() string { return "report" }

type reportRequest reportArgs

// Validate implements [workers.Request].
func (r reportRequest) Validate() error {
	if !text(r.Customer) {
		return fmt.Errorf("customer: must have at most %d bytes, none of them zero", maxText)
	}
	return nil
}

// A Report is the result of a report.
type Report struct {
	Orders     int   `json:"orders"`
	TotalCents int64 `json:"total_cents"`
}

type reportWorker struct {
	river.WorkerDefaults[reportArgs]
	db    *database.Pool
	pause time.Duration
}

const pageSize = 100

// Work implements [river.Worker]. It reads page by page, so that no statement
// holds the database for long.
func (w *reportWorker) Work(ctx context.Context, job *river.Job[reportArgs]) error {
	var report Report
	after := ""
	for {
		page, err := listOrders(ctx, w.db, job.Args.Customer, after, pageSize)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return river.RecordOutput(ctx, report)
		}
		for _, o := range page {
			report.Orders++
			report.TotalCents += o.cents
		}
		after = page[len(page)-1].id
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(w.pause):
		}
	}
}

type orderTotal struct {
	id    string
	cents int64
}

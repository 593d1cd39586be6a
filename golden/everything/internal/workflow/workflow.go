// Package workflow carries work of many steps to its end, however often the
// process dies in between: an order is fulfilled by reserving stock, charging
// the customer and shipping, and what was done is undone in the reverse order
// where a later step fails.
//
// A workflow engine holds the state: which step comes next, when it is tried
// again, what has to be undone. The steps themselves are plain functions in
// steps.go, the same for every engine, and each of them can be called any number
// of times. Only engine_*.go know an engine.
package workflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"example.com/orders/internal/database"
	"example.com/orders/internal/setting"
)

// Config holds what does not depend on the engine.
type Config struct {
	// CancelWindow is how long an order that is paid can still be cancelled
	// before it is shipped. The engine holds the time: it goes on while no
	// instance runs.
	CancelWindow time.Duration `env:"WORKFLOW_CANCEL_WINDOW" envDefault:"10s"`
	// StepTimeout is how long one attempt of a step may take.
	StepTimeout time.Duration `env:"WORKFLOW_STEP_TIMEOUT" envDefault:"10s"`
	// EngineTimeout is how long a caller waits for the engine.
	EngineTimeout time.Duration `env:"WORKFLOW_ENGINE_TIMEOUT" envDefault:"3s"`
}

// Validate reports a value that can't be meant.
func (c Config) Validate() error {
	return errors.Join(
		setting.Between("WORKFLOW_CANCEL_WINDOW", c.CancelWindow, time.Second, 30*24*time.Hour),
		setting.Check(c.CancelWindow%time.Second == 0, "WORKFLOW_CANCEL_WINDOW=%v: must be whole seconds, as not every engine has parts of one", c.CancelWindow),
		setting.Between("WORKFLOW_STEP_TIMEOUT", c.StepTimeout, time.Millisecond, longestStep),
		setting.Between("WORKFLOW_ENGINE_TIMEOUT", c.EngineTimeout, time.Millisecond, time.Minute),
	)
}

// An Order is what is fulfilled. Its id is the caller's, and the key by which
// all that is done for it is done once.
type Order struct {
	ID       string `json:"order_id"`
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
	Cents    int64  `json:"cents"`
	Country  string `json:"country"`
}

var (
	idPattern      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	skuPattern     = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	countryPattern = regexp.MustCompile(`^[A-Z]{2}$`)
)

// Validate says what of the order can't be.
func (o Order) Validate() error {
	const most = 1_000_000_000
	return errors.Join(
		setting.Check(idPattern.MatchString(o.ID), "order_id: must be 1 to 64 letters, digits, - and _."),
		setting.Check(skuPattern.MatchString(o.SKU), "sku: must be 1 to 64 of a-z, 0-9 and -."),
		setting.Check(o.Quantity >= 1 && o.Quantity <= most, "quantity: must be from 1 to %d.", most),
		setting.Check(o.Cents >= 1 && o.Cents <= most, "cents: must be from 1 to %d.", most),
		setting.Check(countryPattern.MatchString(o.Country), "country: must be two letters, such as DE."),
	)
}

// An Outcome is how a workflow is or how it ended.
type Outcome string

// The outcomes. In all but the last, what was done and what is noted agree.
const (
	Running     Outcome = "running"
	Completed   Outcome = "completed"
	Cancelled   Outcome = "cancelled"   // the caller changed their mind; all is undone
	Compensated Outcome = "compensated" // a step failed for good; all is undone
	Failed      Outcome = "failed"      // something could not be undone: a person has to look
)

// outcomes are those that a workflow ends with.
var outcomes = []Outcome{Completed, Cancelled, Compensated, Failed}

// A Fulfilment is an order on its way.
type Fulfilment struct {
	Order
	// Engine is the one that the order was given to.
	Engine    string
	Outcome   Outcome
	Reason    string
	CreatedAt time.Time
	UpdatedAt time.Time
	History   []Event
}

// An Event is something that was done for an order.
type Event struct {
	Step   Step
	Detail string
	At     time.Time
}

var (
	// ErrNotFound says that there is no such order.
	ErrNotFound = errors.New("no such order")
	// ErrOther says that the id was used for another order.
	ErrOther = errors.New("the id belongs to another order")
	// ErrEnded says that the order's workflow has ended.
	ErrEnded = errors.New("the workflow has ended")
	// ErrEngine says that the engine does not answer.
	ErrEngine = errors.New("the workflow engine does not answer")
)

// An engine holds the state of workflows. What it returns is any error where it
// does not answer.
type engine interface {
	// start starts the order's workflow, unless one with its id was started before.
	start(ctx context.Context, order Order) error
	// cancel asks the order's workflow to undo what it has done. It returns
	// ErrEnded where the engine knows that it is too late.
	cancel(ctx context.Context, id string) error
	// position returns what the engine says the workflow is at.
	position(ctx context.Context, id string) (string, error)
	// ready reports whether the engine answers.
	ready(ctx context.Context) error
	// launch begins what has to stand before the first caller comes.
	launch(ctx context.Context) error
	// run takes the engine's work until ctx is done, and then lets the steps end
	// that run.
	run(ctx context.Context) error
	// close frees what the engine holds.
	close(ctx context.Context) error
}

// Deps is what the workflows stand on.
type Deps struct {
	Database *database.Pool
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	Tracing  trace.TracerProvider
}

// Fulfilments fulfils orders. It is safe for concurrent use.
type Fulfilments struct {
	config  Config
	engine  engine
	steps   *Steps
	store   store
	metrics metrics
}

// New builds the workflows on their engine. Nothing runs before
// Launch.
func New(ctx context.Context, config Config, engineConfig EngineConfig, deps Deps) (*Fulfilments, error) {
	f, err := newFulfilments(config, deps)
	if err != nil {
		return nil, err
	}
	if f.engine, err = newEngine(ctx, config, engineConfig, f.steps, deps); err != nil {
		return nil, fmt.Errorf("workflow engine %s: %w", EngineName, err)
	}
	return f, nil
}

func newFulfilments(config Config, deps Deps) (*Fulfilments, error) {
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, fmt.Errorf("workflow metrics: %w", err)
	}
	s := store{deps.Database}
	steps := &Steps{store: s, metrics: m, tracer: deps.Tracing.Tracer("workflow"), timeout: config.StepTimeout, now: time.Now}
	return &Fulfilments{config: config, steps: steps, store: s, metrics: m}, nil
}

// Launch readies the engine for callers. Workflows that an earlier process has
// left go on.
func (f *Fulfilments) Launch(ctx context.Context) error { return f.engine.launch(ctx) }

// Run takes work until ctx is done, and returns once the steps that ran have
// ended.
func (f *Fulfilments) Run(ctx context.Context) error { return f.engine.run(ctx) }

// Close frees what the engine holds. Workflows that have not ended go on at the
// next start.
func (f *Fulfilments) Close(ctx context.Context) error { return f.engine.close(ctx) }

// Ready reports whether the engine answers.
func (f *Fulfilments) Ready(ctx context.Context) error { return f.engine.ready(ctx) }

// Start starts the workflow of an order, once: the same order again is no error,
// and another one with its id is ErrOther. When Start returns nil, the engine
// has the order, and carries it to an end.
func (f *Fulfilments) Start(ctx context.Context, order Order) (Fulfilment, error) {
	known, err := f.store.fulfilment(ctx, order.ID)
	if err == nil {
		return known, same(known, order)
	}
	if !errors.Is(err, ErrNotFound) {
		f.metrics.started.WithLabelValues("refused").Inc()
		return Fulfilment{}, err
	}
	// The engine comes first: a row without a workflow would wait for ever, a
	// workflow without a row makes it in its first step. The row then says which
	// order it is, to the steps as well: the engine may have another with this id,
	// that came at the same time.
	if err := f.ask(ctx, func(ctx context.Context) error { return f.engine.start(ctx, order) }); err != nil {
		f.metrics.started.WithLabelValues("refused").Inc()
		return Fulfilment{}, err
	}
	if err := f.steps.begin(ctx, order); err != nil {
		return Fulfilment{}, err
	}
	if known, err = f.store.fulfilment(ctx, order.ID); err != nil {
		return Fulfilment{}, err
	}
	return known, same(known, order)
}

func same(f Fulfilment, order Order) error {
	if f.Order != order {
		return ErrOther
	}
	return nil
}

// ask calls the engine for a caller, no longer than the caller waits.
func (f *Fulfilments) ask(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, f.config.EngineTimeout)
	defer cancel()
	err := call(ctx)
	if err == nil || errors.Is(err, ErrEnded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrEngine, err)
}

// Get returns the order with its history.
func (f *Fulfilments) Get(ctx context.Context, id string) (Fulfilment, error) {
	return f.store.withHistory(ctx, id)
}

// Position returns what the engine says a running order's workflow is at.
func (f *Fulfilments) Position(ctx context.Context, id string) (position string, err error) {
	err = f.ask(ctx, func(ctx context.Context) (err error) {
		position, err = f.engine.position(ctx, id)
		return err
	})
	return position, err
}

// Cancel asks that an order be undone. It comes too late once the order is on
// its way to the customer; Get says what became of it.
func (f *Fulfilments) Cancel(ctx context.Context, id string) error {
	known, err := f.store.fulfilment(ctx, id)
	if err != nil {
		return err
	}
	if known.Outcome != Running || known.Engine != EngineName {
		return ErrEnded
	}
	return f.ask(ctx, func(ctx context.Context) error { return f.engine.cancel(ctx, id) })
}

// executionID is the workflow's id in the engine.
func executionID(order string) string { return "fulfilment-" + order }

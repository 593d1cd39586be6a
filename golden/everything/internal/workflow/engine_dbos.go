package workflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"example.com/orders/internal/database"
)

// EngineName is the engine that this service was made with.
const EngineName = "dbos"

// dbosVersion is the version of the workflow's order of steps. Raise it when you
// change the order while workflows run: those of another version are left to
// instances of that version.
const dbosVersion = "1"

// Names in the engine's database.
const (
	dbosWorkflow  = "fulfilment"
	dbosCancel    = "cancel"   // topic of the message that asks to undo
	dbosPosition  = "position" // event that says what the workflow is at
	dbosWindow    = "window"   // position while it can still be cancelled
	dbosCancelKey = "cancel"   // two messages with one key are one
)

// dbosEngine runs workflows in this process. What has happened is kept in the
// engine's database, and an instance that comes up goes on from there.
type dbosEngine struct {
	config   Config
	attempts Attempts
	steps    *Steps
	log      *slog.Logger
	database dbosDatabase
	dbos     dbos.Context
	gate     gate
	calls    *calls
}

func newEngine(ctx context.Context, config Config, engineConfig EngineConfig, steps *Steps, deps Deps) (engine, error) {
	return newDBOS(ctx, config, engineConfig, steps, deps)
}

func newDBOS(ctx context.Context, config Config, engineConfig EngineConfig, steps *Steps, deps Deps) (_ *dbosEngine, err error) {
	e := &dbosEngine{config: config, attempts: engineConfig.Attempts, steps: steps, log: deps.Log, calls: newCalls()}
	if e.database, err = openDBOS(ctx, engineConfig, deps); err != nil {
		return nil, err
	}
	dbosConfig := dbos.Config{
		AppName:            dbosWorkflow,
		ApplicationVersion: dbosVersion,
		ExecutorID:         e.database.executor,
		Logger:             slog.New(quieter{deps.Log.Handler()}),
	}
	e.database.use(&dbosConfig)
	// It stops by Shutdown, which leaves workflows to be gone on with. The end of
	// ctx would cancel them.
	if e.dbos, err = dbos.NewContext(context.WithoutCancel(ctx), dbosConfig); err != nil {
		return nil, errors.Join(err, e.database.close())
	}
	dbos.RegisterWorkflow(e.dbos, e.fulfil, dbos.WithWorkflowName(dbosWorkflow))
	return e, nil
}

// fulfil is the workflow. An error that it returned would be its end for good:
// where the engine's database can't be used for now, it is handed back first.
func (e *dbosEngine) fulfil(ctx dbos.Context, order Order) (Outcome, error) {
	outcome, err := e.carry(ctx, order)
	if err != nil && ctx.Err() == nil && database.IsOutage(err) {
		e.handBack(ctx, order.ID, err)
	}
	return outcome, err
}

// handBackWait is the time between two attempts to hand a workflow back.
const handBackWait = time.Second

// handBack has the workflow taken up anew, here or by another instance. What this
// run returns is not noted then, since it has the workflow no more.
func (e *dbosEngine) handBack(ctx context.Context, id string, cause error) {
	e.log.WarnContext(ctx, "workflow: the engine's database fails; it is taken up again", "order", id, "error", cause)
	for {
		if _, err := dbos.ResumeWorkflows[Outcome](e.dbos, []string{executionID(id)}); err == nil {
			return
		}
		select {
		case <-ctx.Done(): // the next start takes it up
			return
		case <-time.After(handBackWait):
		}
	}
}

// carry does the steps. After a restart it is called again with the same order,
// and every call of dbos that was noted returns what it returned before: so it
// must do the same calls in the same order, and nothing else that counts.
func (e *dbosEngine) carry(ctx dbos.Context, order Order) (Outcome, error) {
	outcome, reason, err := e.forward(ctx, order)
	if err != nil {
		return "", err
	}
	if outcome == Compensated || outcome == Cancelled {
		// In the reverse order; what was not done is not undone, but can't be done
		// any more.
		for _, step := range []Step{Refund, Release} {
			failure, err := e.step(ctx, step, order)
			if err != nil {
				return "", err
			}
			if failure.Reason != "" {
				outcome, reason = Failed, reason+"; "+failure.Reason
			}
		}
	}
	_, err = dbos.RunAsStep(ctx, func(ctx context.Context) (bool, error) {
		return true, e.gated(ctx, func() error { return e.steps.End(ctx, order, outcome, reason) })
	}, e.options(Finish)...)
	return outcome, err
}

// forward does the steps up to the first that fails for good.
func (e *dbosEngine) forward(ctx dbos.Context, order Order) (Outcome, string, error) {
	for _, step := range []Step{Reserve, Charge} {
		failure, err := e.step(ctx, step, order)
		if err != nil || failure.Reason != "" {
			return Compensated, failure.Reason, err
		}
	}
	if err := dbos.SetEvent(ctx, dbosPosition, dbosWindow); err != nil {
		return "", "", err
	}
	cancelled, err := dbos.Recv[bool](ctx, dbosCancel, e.config.CancelWindow)
	switch {
	case errors.Is(err, dbos.ErrTimeout):
	case err != nil:
		return "", "", err
	case cancelled:
		return Cancelled, "cancelled by the caller", nil
	}
	failure, err := e.step(ctx, Ship, order)
	switch {
	case err != nil:
		return "", "", err
	case failure.GaveUp: // it may be on its way
		return Failed, failure.Reason, nil
	case failure.Reason != "":
		return Compensated, failure.Reason, nil
	}
	return Completed, "", nil
}

// A dbosFailure is why a step is not tried again. It is a result rather than an
// error, so that it reads the same after a restart; an error says that this
// instance is not to go on with the workflow.
type dbosFailure struct {
	Reason string
	// GaveUp says that the attempts are used up, and that it is not known what
	// the last one did.
	GaveUp bool
}

func (e *dbosEngine) step(ctx dbos.Context, step Step, order Order) (dbosFailure, error) {
	if err := dbos.SetEvent(ctx, dbosPosition, string(step)); err != nil {
		return dbosFailure{}, err
	}
	attempt := 0
	return dbos.RunAsStep(ctx, func(ctx context.Context) (dbosFailure, error) {
		attempt++
		err := e.gated(ctx, func() error { return e.steps.Do(ctx, step, order) })
		switch {
		case err == nil:
			return dbosFailure{}, nil
		case IsPermanent(err):
			return dbosFailure{Reason: err.Error()}, nil
		case attempt >= e.attempts.of(step) && ctx.Err() == nil:
			return dbosFailure{Reason: fmt.Sprintf("gave up after %d attempts: %v", attempt, err), GaveUp: true}, nil
		}
		return dbosFailure{}, err
	}, e.options(step)...)
}

func (e *dbosEngine) options(step Step) []dbos.StepOption {
	return []dbos.StepOption{
		dbos.WithStepName(string(step)), dbos.WithStepMaxRetries(e.attempts.of(step)),
		dbos.WithStepBaseInterval(firstWait), dbos.WithStepMaxInterval(longestWait),
	}
}

// gated runs do, or waits for the end of ctx where the engine stops.
func (e *dbosEngine) gated(ctx context.Context, do func() error) error {
	if !e.gate.enter() {
		<-ctx.Done()
		return ctx.Err()
	}
	defer e.gate.leave()
	return do()
}

func (e *dbosEngine) start(ctx context.Context, order Order) error {
	return e.calls.within(ctx, func() error {
		_, err := dbos.RunWorkflow(e.dbos, e.fulfil, order, dbos.WithWorkflowID(executionID(order.ID)))
		return err
	})
}

func (e *dbosEngine) cancel(ctx context.Context, id string) error {
	return e.calls.within(ctx, func() error {
		return dbos.Send(e.dbos, executionID(id), true, dbosCancel, dbos.WithIdempotencyKey(dbosCancelKey))
	})
}

func (e *dbosEngine) position(ctx context.Context, id string) (position string, err error) {
	var at string // not the result, which is read where ctx is done first
	err = e.calls.within(ctx, func() (err error) {
		at, err = dbos.GetEvent[string](e.dbos, executionID(id), dbosPosition, 0)
		return err
	})
	if err != nil {
		return "", err
	}
	return at, nil
}

// mostCalls is how many calls of the engine there can be at once. More than it has
// connections only wait for each other.
const mostCalls = 64

// errCallsHang says that the engine's database does not answer, and that enough
// calls wait for it.
var errCallsHang = errors.New("the engine's database does not answer the calls before this one")

// calls are those of the engine that callers wait for. The engine tries its database
// again until it answers, for as long as it runs: a call that its caller gave up is
// left behind, and keeps its place until then.
type calls struct {
	places chan struct{}
	left   atomic.Int64 // behind
}

func newCalls() *calls { return &calls{places: make(chan struct{}, mostCalls)} }

// within calls do, and leaves it behind where ctx is done first. Where all places
// are those of calls that were left behind it does not wait for one.
func (c *calls) within(ctx context.Context, do func() error) error {
	if c.left.Load() >= mostCalls {
		return errCallsHang
	}
	select {
	case c.places <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	finished := make(chan error, 1)
	go func() {
		stop := context.AfterFunc(ctx, func() { c.left.Add(1) })
		err := do()
		if !stop() {
			c.left.Add(-1)
		}
		<-c.places
		finished <- err
	}()
	select {
	case err := <-finished:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *dbosEngine) ready(ctx context.Context) error { return e.database.ping(ctx) }

// launch takes up what an earlier process has left.
func (e *dbosEngine) launch(ctx context.Context) error {
	if err := e.database.enter(ctx); err != nil {
		return err
	}
	return dbos.Launch(e.dbos)
}

func (e *dbosEngine) run(ctx context.Context) error {
	err := e.database.run(ctx, e)
	e.gate.close()
	return err
}

// close stops the workflows where they are. They wait for the next start, or for
// another instance.
func (e *dbosEngine) close(ctx context.Context) error {
	e.gate.close()
	timeout := 10 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline)/2, time.Millisecond)
	}
	return errors.Join(dbos.Shutdown(e.dbos, timeout), e.database.leave(ctx), e.database.close())
}

// A gate lets no one in once it is closed, and closing waits for those inside.
type gate struct {
	mu     sync.Mutex
	closed bool
	inside sync.WaitGroup
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside.Add(1)
	return true
}

func (g *gate) leave() { g.inside.Done() }

func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.inside.Wait()
}

// quieter logs one level lower what is no error: to the engine, a window that
// passes without a message is a warning. What ends because the engine stops is
// not even told: to the engine, each order that waits then has failed.
type quieter struct{ slog.Handler }

const levelStep = slog.LevelInfo - slog.LevelDebug

func (q quieter) lower(level slog.Level) slog.Level {
	if level >= slog.LevelError {
		return level
	}
	return level - levelStep
}

// Enabled implements [slog.Handler].
func (q quieter) Enabled(ctx context.Context, level slog.Level) bool {
	return q.Handler.Enabled(ctx, q.lower(level))
}

// Handle implements [slog.Handler].
func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	if isCanceled(r) {
		return nil
	}
	r.Level = q.lower(r.Level)
	return q.Handler.Handle(ctx, r)
}

// isCanceled reports whether a record tells of a context that was cancelled.
func isCanceled(r slog.Record) (is bool) {
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		is = ok && errors.Is(err, context.Canceled)
		return !is
	})
	return is
}

// WithAttrs implements [slog.Handler].
func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quieter{q.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.Handler.WithGroup(name)} }

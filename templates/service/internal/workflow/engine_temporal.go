//go:build temporal

package workflow

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	temporallog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	temporalworkflow "go.temporal.io/sdk/workflow"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/setting"
)

// EngineName is the engine that this service was made with.
const EngineName = "temporal"

// EngineConfig is the engine's own part of the configuration.
type EngineConfig struct {
	// Address is the host and port of Temporal's frontend.
	Address string `env:"WORKFLOW_TEMPORAL_ADDRESS" envDefault:"localhost:7233"`
	// Namespace is the namespace of the workflows. It must exist.
	Namespace string `env:"WORKFLOW_TEMPORAL_NAMESPACE" envDefault:"default"`
	// TaskQueue is where workflows and steps wait for a worker. All instances of
	// the service share it.
	TaskQueue string `env:"WORKFLOW_TEMPORAL_TASK_QUEUE" envDefault:"fulfilments"`
	// TLS says whether the connection is encrypted.
	TLS bool `env:"WORKFLOW_TEMPORAL_TLS" envDefault:"false"`
	// APIKey is a key of Temporal Cloud. It wants TLS.
	APIKey string `env:"WORKFLOW_TEMPORAL_API_KEY"`
	// MaxSteps is how many steps this instance runs at once.
	MaxSteps int `env:"WORKFLOW_TEMPORAL_MAX_STEPS" envDefault:"100"`
	Attempts
}

// Validate reports a value that can't be meant.
func (c EngineConfig) Validate() error {
	return errors.Join(
		setting.Check(c.Address != "", "WORKFLOW_TEMPORAL_ADDRESS: must be the host and port of Temporal's frontend"),
		setting.Check(c.Namespace != "", "WORKFLOW_TEMPORAL_NAMESPACE: must be the name of a namespace"),
		setting.Check(c.TaskQueue != "", "WORKFLOW_TEMPORAL_TASK_QUEUE: must be the name of a task queue"),
		setting.Check(c.APIKey == "" || c.TLS, "WORKFLOW_TEMPORAL_API_KEY: must not be sent in the clear: set WORKFLOW_TEMPORAL_TLS=true"),
		setting.Between("WORKFLOW_TEMPORAL_MAX_STEPS", c.MaxSteps, 1, 10_000),
		c.validate(),
	)
}

// Names in the engine. They are in the histories of workflows that run: a name
// that is changed is not found again.
const (
	temporalWorkflow  = "fulfilment"
	temporalCancel    = "cancel"    // signal that asks to undo
	temporalPosition  = "position"  // query for what the workflow is at
	temporalWindow    = "window"    // position while it can still be cancelled
	temporalPermanent = "Permanent" // type of the errors that are not tried again
)

// A temporalOrder is what a workflow begins with. The settings are in it, so that
// a workflow keeps those that it began with: its calls must stay the same.
type temporalOrder struct {
	Order    Order
	Window   time.Duration
	Timeout  time.Duration
	Attempts Attempts
}

// A temporalEnd is what the last step notes.
type temporalEnd struct {
	Order   Order
	Outcome Outcome
	Reason  string
}

// temporalFulfil is the workflow. It is called again on every worker that takes it
// over, with the history of what was done: so it must do the same calls in the
// same order, and read no clock, map order or setting of its own. A change of the
// order of calls needs workflow.GetVersion, and the replay test shows whether it
// has what it needs.
func temporalFulfil(ctx temporalworkflow.Context, in temporalOrder) (Outcome, error) {
	f := temporalRun{in: in, cancel: temporalworkflow.GetSignalChannel(ctx, temporalCancel)}
	if err := temporalworkflow.SetQueryHandler(ctx, temporalPosition, func() (string, error) { return f.position, nil }); err != nil {
		return "", err
	}
	outcome, reason := f.forward(ctx)
	// What follows is done also where the workflow was cancelled by an operator.
	ctx, _ = temporalworkflow.NewDisconnectedContext(ctx)
	if outcome == Compensated || outcome == Cancelled {
		// In the reverse order; what was not done is not undone, but can't be done
		// any more.
		for _, step := range []Step{Refund, Release} {
			if err := f.step(ctx, step); err != nil {
				outcome, reason = Failed, reason+"; "+temporalReason(err)
			}
		}
	}
	f.position = string(Finish)
	err := temporalworkflow.ExecuteActivity(f.options(ctx, Finish), string(Finish), temporalEnd{in.Order, outcome, reason}).Get(ctx, nil)
	return outcome, err
}

type temporalRun struct {
	in       temporalOrder
	cancel   temporalworkflow.ReceiveChannel
	position string
}

// forward does the steps up to the first that fails for good.
func (f *temporalRun) forward(ctx temporalworkflow.Context) (Outcome, string) {
	const cancelled = "cancelled by the caller"
	for _, step := range []Step{Reserve, Charge} {
		switch err := f.step(ctx, step); {
		case temporal.IsCanceledError(err):
			return Cancelled, cancelled
		case err != nil:
			return Compensated, temporalReason(err)
		}
	}
	if f.window(ctx) {
		return Cancelled, cancelled
	}
	// Once it is tried it is not called back, whoever asks.
	ctx, _ = temporalworkflow.NewDisconnectedContext(ctx)
	switch err := f.step(ctx, Ship); {
	case err == nil:
		return Completed, ""
	case temporalIsPermanent(err):
		return Compensated, temporalReason(err)
	default: // it may be on its way
		return Failed, temporalReason(err)
	}
}

// window waits while the order can still be cancelled, and reports whether it was.
func (f *temporalRun) window(ctx temporalworkflow.Context) (cancelled bool) {
	f.position = temporalWindow
	timerCtx, stop := temporalworkflow.WithCancel(ctx)
	defer stop()
	temporalworkflow.NewSelector(ctx).
		AddReceive(f.cancel, func(c temporalworkflow.ReceiveChannel, _ bool) {
			c.Receive(ctx, nil)
			cancelled = true
		}).
		AddFuture(temporalworkflow.NewTimer(timerCtx, f.in.Window), func(timer temporalworkflow.Future) {
			cancelled = timer.Get(ctx, nil) != nil
		}).
		Select(ctx)
	return cancelled
}

func (f *temporalRun) step(ctx temporalworkflow.Context, step Step) error {
	f.position = string(step)
	return temporalworkflow.ExecuteActivity(f.options(ctx, step), string(step), f.in.Order).Get(ctx, nil)
}

func (f *temporalRun) options(ctx temporalworkflow.Context, step Step) temporalworkflow.Context {
	return temporalworkflow.WithActivityOptions(ctx, temporalworkflow.ActivityOptions{
		// A worker that dies is noticed by this, and the step is tried again.
		StartToCloseTimeout: 2 * f.in.Timeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:        firstWait,
			BackoffCoefficient:     2,
			MaximumInterval:        longestWait,
			MaximumAttempts:        int32(f.in.Attempts.of(step)), //nolint:gosec // Validate bounds it
			NonRetryableErrorTypes: []string{temporalPermanent},
		},
	})
}

func temporalIsPermanent(err error) bool {
	var e *temporal.ApplicationError
	return errors.As(err, &e) && e.Type() == temporalPermanent
}

func temporalReason(err error) string {
	var e *temporal.ApplicationError
	switch {
	case temporalIsPermanent(err) && errors.As(err, &e):
		return e.Message()
	case errors.As(err, &e):
		return "gave up after all attempts: " + e.Message()
	}
	return fmt.Sprintf("gave up after all attempts: %v", err)
}

// temporalEngine runs workflows in Temporal's cluster, and works off their steps.
type temporalEngine struct {
	config  Config
	engine  EngineConfig
	steps   *Steps
	log     *slog.Logger
	client  client.Client
	backoff time.Duration
}

func newEngine(_ context.Context, config Config, engineConfig EngineConfig, steps *Steps, deps Deps) (engine, error) {
	options := client.Options{
		HostPort:  engineConfig.Address,
		Namespace: engineConfig.Namespace,
		Logger:    temporallog.NewStructuredLogger(deps.Log),
	}
	if engineConfig.TLS {
		options.ConnectionOptions.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if engineConfig.APIKey != "" {
		options.Credentials = client.NewAPIKeyStaticCredentials(engineConfig.APIKey)
	}
	// It connects when it is first used: a service whose engine is down comes up,
	// and says so.
	c, err := client.NewLazyClient(options)
	if err != nil {
		return nil, err
	}
	return &temporalEngine{config: config, engine: engineConfig, steps: steps, log: deps.Log, client: c, backoff: time.Second}, nil
}

// register gives a worker, or what tests one, the workflow and its steps.
func (e *temporalEngine) register(r worker.Registry) {
	r.RegisterWorkflowWithOptions(temporalFulfil, temporalworkflow.RegisterOptions{Name: temporalWorkflow})
	for _, step := range []Step{Reserve, Charge, Ship, Refund, Release} {
		r.RegisterActivityWithOptions(func(ctx context.Context, order Order) error {
			return temporalError(e.steps.Do(ctx, step, order))
		}, activity.RegisterOptions{Name: string(step)})
	}
	r.RegisterActivityWithOptions(func(ctx context.Context, end temporalEnd) error {
		return temporalError(e.steps.End(ctx, end.Order, end.Outcome, end.Reason))
	}, activity.RegisterOptions{Name: string(Finish)})
}

func temporalError(err error) error {
	if IsPermanent(err) {
		return temporal.NewNonRetryableApplicationError(err.Error(), temporalPermanent, nil)
	}
	return err
}

func (e *temporalEngine) start(ctx context.Context, order Order) error {
	_, err := e.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       executionID(order.ID),
		TaskQueue:                e.engine.TaskQueue,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, temporalWorkflow, temporalOrder{order, e.config.CancelWindow, e.config.StepTimeout, e.engine.Attempts})
	var known *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &known) {
		return nil
	}
	return err
}

func (e *temporalEngine) cancel(ctx context.Context, id string) error {
	err := e.client.SignalWorkflow(ctx, executionID(id), "", temporalCancel, true)
	var gone *serviceerror.NotFound
	if errors.As(err, &gone) {
		return ErrEnded
	}
	return err
}

func (e *temporalEngine) position(ctx context.Context, id string) (position string, err error) {
	answer, err := e.client.QueryWorkflow(ctx, executionID(id), "", temporalPosition)
	if err != nil {
		return "", err
	}
	err = answer.Get(&position)
	return position, err
}

func (e *temporalEngine) ready(ctx context.Context) error {
	_, err := e.client.CheckHealth(ctx, &client.CheckHealthRequest{})
	return err
}

func (e *temporalEngine) launch(context.Context) error { return nil }

// run works until ctx is done. Where the cluster is not there, or turns the
// worker away, it comes again.
func (e *temporalEngine) run(ctx context.Context) error {
	for {
		err := e.work(ctx)
		if ctx.Err() != nil {
			return nil
		}
		e.log.WarnContext(ctx, "workflow worker: does not work for now", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(e.backoff):
		}
	}
}

func (e *temporalEngine) work(ctx context.Context) error {
	// A worker that is started beside no cluster can't be told to stop.
	checkCtx, cancel := context.WithTimeout(ctx, e.config.EngineTimeout)
	defer cancel()
	if err := e.ready(checkCtx); err != nil {
		return err
	}
	fatal := make(chan error, 1)
	w := worker.New(e.client, e.engine.TaskQueue, worker.Options{
		MaxConcurrentActivityExecutionSize: e.engine.MaxSteps,
		WorkerStopTimeout:                  e.config.StepTimeout, // steps that run end by themselves
		OnFatalError: func(err error) {
			select {
			case fatal <- err:
			default: // one is enough
			}
		},
	})
	e.register(w)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	select {
	case <-ctx.Done():
		return nil
	case err := <-fatal:
		return err
	}
}

func (e *temporalEngine) close(context.Context) error {
	e.client.Close()
	return nil
}

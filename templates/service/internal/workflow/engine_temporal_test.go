//go:build temporal

package workflow

import (
	"testing"
	"time"

	temporallog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
)

// useEngine does nothing: each order has Temporal's own test environment, whose
// clock jumps to the next timer.
func (b *bench) useEngine(testing.TB) {}

// fulfil runs the order's workflow to its end.
func (b *bench) fulfil(t testing.TB, order Order, cancel bool) {
	t.Helper()
	env := b.environment(t)
	if cancel {
		env.RegisterDelayedCallback(func() { env.SignalWorkflow(temporalCancel, true) }, time.Millisecond)
	}
	b.execute(t, env, order)
}

func (b *bench) environment(t testing.TB) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(temporallog.NewStructuredLogger(b.deps.Log))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(time.Minute)
	(&temporalEngine{steps: b.steps}).register(env)
	return env
}

func (b *bench) execute(t testing.TB, env *testsuite.TestWorkflowEnvironment, order Order) {
	t.Helper()
	env.ExecuteWorkflow(temporalWorkflow, temporalOrder{order, time.Hour, b.config.StepTimeout, Attempts{Step: b.tries, Undo: b.tries}})
	if !env.IsWorkflowCompleted() {
		t.Fatal("the workflow did not end")
	}
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	var outcome Outcome
	if err := env.GetWorkflowResult(&outcome); err != nil {
		t.Fatal(err)
	}
	if got := b.ended(t, order.ID); got.Outcome != outcome {
		t.Errorf("the engine has it %s, the service %s", outcome, got.Outcome)
	}
}

func TestPosition(t *testing.T) {
	b := newBench(t)
	env := b.environment(t)
	var during string
	env.RegisterDelayedCallback(func() {
		answer, err := env.QueryWorkflow(temporalPosition)
		if err == nil {
			err = answer.Get(&during)
		}
		if err != nil {
			t.Error(err)
		}
	}, 30*time.Minute)
	b.execute(t, env, Order{"where", "desk", 1, 1, "DE"})
	if during != temporalWindow {
		t.Errorf("it was at %q", during)
	}
}

// An operator who cancels the workflow in Temporal has it undone as well.
func TestOperatorCancels(t *testing.T) {
	b := newBench(t)
	env := b.environment(t)
	env.RegisterDelayedCallback(env.CancelWorkflow, 30*time.Minute)
	b.execute(t, env, Order{"stopped", "desk", 1, 5000, "DE"})
	got := b.ended(t, "stopped")
	if got.Outcome != Cancelled || steps(got) != "reserve charge refund release finish" || b.paid(t, "stopped") != 0 {
		t.Errorf("got %s: %s", got.Outcome, steps(got))
	}
}

// A signal that comes when it is too late changes nothing.
func TestSignalAfterTheWindow(t *testing.T) {
	b := newBench(t)
	env := b.environment(t)
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(temporalCancel, true) }, time.Hour+time.Nanosecond)
	b.execute(t, env, Order{"late", "desk", 1, 5000, "DE"})
	if got := b.ended(t, "late"); got.Outcome != Completed {
		t.Errorf("got %s: %s", got.Outcome, steps(got))
	}
}

func TestTemporalReason(t *testing.T) {
	if got := temporalReason(temporal.NewApplicationError("down", "")); got != "gave up after all attempts: down" {
		t.Error(got)
	}
	if got := temporalReason(temporal.NewTimeoutError(0, nil)); got == "" {
		t.Error("a timeout has no reason")
	}
}

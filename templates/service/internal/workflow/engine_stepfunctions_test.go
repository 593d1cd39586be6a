//go:build stepfunctions

package workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/waittest"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/workflow/stepfunctionstest"
)

// useEngine runs the service's side against an interpreter of the definition,
// until the test ends. A second of the definition passes in 10ms.
func (b *bench) useEngine(t testing.TB) { b.useStepFunctions(t, 10*time.Millisecond) }

func (b *bench) useStepFunctions(t testing.TB, second time.Duration) *stepfunctionstest.Server {
	t.Helper()
	text := Definition(stepfunctionstest.StateMachine)
	text = strings.ReplaceAll(text, `"MaxAttempts": 100`, fmt.Sprintf(`"MaxAttempts": %d`, b.tries)) // a hundred take their time
	server := stepfunctionstest.New(t, text, second)
	b.useServer(t, server)
	return server
}

// useServer runs a worker for the server until the test ends.
func (b *bench) useServer(t testing.TB, server *stepfunctionstest.Server) {
	t.Helper()
	config := EngineConfig{StateMachine: stepfunctionstest.StateMachine, Endpoint: server.URL, AccessKey: "key", SecretKey: "secret", Pollers: 2}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(t.Context(), b.config, config, b.steps, b.deps)
	if err != nil {
		t.Fatal(err)
	}
	e.(*stepFunctions).backoff = 10 * time.Millisecond //nolint:forcetypeassert // newEngine returns one
	b.engine = e
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, e.close(context.Background())); err != nil {
			t.Error(err)
		}
	})
}

// fulfil gives the order to the engine.
func (b *bench) fulfil(t testing.TB, order Order, cancel bool) {
	t.Helper()
	if cancel {
		b.exec(t, `INSERT INTO workflow_done (order_id, step, state) VALUES ($1, $2, 'done')`, order.ID, cancelAsked)
	}
	if _, err := b.Start(t.Context(), order); err != nil {
		t.Fatal(err)
	}
}

func TestDefinition(t *testing.T) {
	text := Definition(stepfunctionstest.StateMachine)
	m, err := stepfunctionstest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var named []Step
	for state, s := range m.States {
		if limit := time.Duration(s.TimeoutSeconds) * time.Second; s.Type == "Task" && limit < 2*longestStep {
			t.Errorf("%s: TimeoutSeconds are %v, which does not leave a step its time", state, limit)
		}
		if name, ok := strings.CutPrefix(s.Resource, "arn:aws:states:us-east-1:123456789012:activity:fulfilment-"); ok {
			named = append(named, Step(name))
		}
	}
	slices.Sort(named)
	want := slices.Sorted(slices.Values(worked))
	if got := slices.Compact(named); !slices.Equal(got, want) {
		t.Errorf("the definition has the activities %v, the service works off %v", got, want)
	}
	for what, change := range map[string][2]string{
		"is no state":      {`"Next": "Ship"`, `"Next": "Shop"`},
		"is never reached": {`"Next": "Window"`, `"Next": "Ship"`},
		"stand alone":      {`"States.ALL"`, `"States.ALL", "Other"`},
		"waits for ever":   {`"TimeoutSeconds": 60`, `"TimeoutSeconds": 0`},
		"unknown field":    {`"StartAt"`, `"StartHere"`},
		"of the type":      {`"Type": "Wait"`, `"Type": "Parallel"`},
		"ResultPath":       {`"ResultPath": "$.failure"`, `"ResultPath": "$.a.b"`},
	} {
		changed := strings.ReplaceAll(text, change[0], change[1])
		if _, err := stepfunctionstest.Parse(changed); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("with %s: %v, want %q", change[1], err, what)
		}
	}
}

func TestPosition(t *testing.T) {
	b := newBench(t)
	b.config.CancelWindow = time.Hour
	f := b.Fulfilments
	f.config = b.config
	server := b.useStepFunctions(t, time.Millisecond) // the window takes 3.6s
	b.fulfil(t, Order{"where", "desk", 1, 1, "DE"}, false)
	waittest.Until(t, func() error {
		at, err := b.Position(t.Context(), "where")
		if err == nil && at != "window" {
			err = fmt.Errorf("it is at %q", at)
		}
		return err
	})
	for range 2 {
		if err := b.Cancel(t.Context(), "where"); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.ended(t, "where"); got.Outcome != Cancelled {
		t.Errorf("it ended %s", got.Outcome)
	}
	waittest.Until(t, func() error {
		if status, entered := server.Status(executionID("where")); status != "SUCCEEDED" {
			return fmt.Errorf("the execution is %s: %v", status, entered)
		}
		return nil
	})
	if err := b.Cancel(t.Context(), "where"); !errors.Is(err, ErrEnded) {
		t.Errorf("cancelled after the end: %v", err)
	}
}

// The engine is down: callers are told, and what runs goes on once it is back.
func TestEngineIsDown(t *testing.T) {
	b := newBench(t)
	server := b.useStepFunctions(t, 10*time.Millisecond)
	server.SetDown(true)
	order := Order{"down", "desk", 1, 5000, "DE"}
	if _, err := b.Start(t.Context(), order); !errors.Is(err, ErrEngine) {
		t.Errorf("start: %v", err)
	}
	if _, err := b.Get(t.Context(), order.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("an order that was refused: %v", err)
	}
	if err := b.Ready(t.Context()); err == nil {
		t.Error("it is ready")
	}
	server.SetDown(false)
	b.fulfil(t, order, false)
	if got := b.ended(t, order.ID); got.Outcome != Completed {
		t.Errorf("it ended %s", got.Outcome)
	}
	if err := b.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// Whoever may start the state machine can write its input.
func TestBadInput(t *testing.T) {
	b := newBench(t)
	b.useEngine(t)
	e := b.engine.(*stepFunctions) //nolint:forcetypeassert // useEngine sets it
	for _, input := range []string{``, `{}`, `[]`, `{"order": {"order_id": "../x"}}`} {
		for _, step := range worked {
			if err := e.do(t.Context(), step, input); !IsPermanent(err) {
				t.Errorf("%s with %s: %v, want a permanent error", step, input, err)
			}
		}
	}
	end := `{"outcome": "odd", "state": {"order": {"order_id": "a", "sku": "desk", "quantity": 1, "cents": 1, "country": "DE"}}}`
	if err := e.do(t.Context(), Finish, end); !IsPermanent(err) {
		t.Errorf("an odd outcome: %v", err)
	}
}

// A worker that took a step and died is not waited for.
func TestWorkerDies(t *testing.T) {
	b := newBench(t)
	server := stepfunctionstest.New(t, Definition(stepfunctionstest.StateMachine), 10*time.Millisecond)
	config := EngineConfig{StateMachine: stepfunctionstest.StateMachine, Endpoint: server.URL, AccessKey: "key", SecretKey: "secret", Pollers: 1}
	dead, err := newEngine(t.Context(), b.config, config, b.steps, b.deps)
	if err != nil {
		t.Fatal(err)
	}
	b.engine = dead
	order := Order{"orphan", "desk", 1, 5000, "DE"}
	b.fulfil(t, order, false)
	task, err := dead.(*stepFunctions).next(t.Context(), activities(stepfunctionstest.StateMachine)+string(Reserve)) //nolint:forcetypeassert // newEngine returns one
	if err != nil || task.TaskToken == nil {
		t.Fatalf("no task: %v", err)
	}
	if err := dead.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.useServer(t, server)
	if got := b.ended(t, order.ID); got.Outcome != Completed || steps(got) != "reserve charge ship finish" {
		t.Errorf("it ended %s: %s", got.Outcome, steps(got))
	}
}

//go:build stepfunctions

package workflow

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/setting"
)

// EngineName is the engine that this service was made with.
const EngineName = "stepfunctions"

// definition is the state machine, in the Amazon States Language
// (https://states-language.net/spec.html).
//
//go:embed definition_stepfunctions.json
var definition string

// Definition returns the definition for the state machine of that ARN.
func Definition(stateMachine string) string {
	return strings.ReplaceAll(definition, "${Activities}", activities(stateMachine))
}

// EngineConfig is the engine's own part of the configuration.
type EngineConfig struct {
	// StateMachine is the ARN of the state machine. Its activities are named after
	// it: of stateMachine:fulfilment, activity:fulfilment-reserve is one.
	StateMachine string `env:"WORKFLOW_STEPFUNCTIONS_STATE_MACHINE_ARN"`
	// Endpoint is the URL of what stands in for AWS.
	Endpoint string `env:"WORKFLOW_STEPFUNCTIONS_ENDPOINT"`
	// AccessKey and SecretKey are the key pair to sign with. Where they are not
	// set, the AWS SDK looks where it always does: AWS_ACCESS_KEY_ID, the shared
	// configuration, the role of the machine.
	AccessKey string `env:"WORKFLOW_STEPFUNCTIONS_ACCESS_KEY"`
	// SecretKey belongs to AccessKey.
	SecretKey string `env:"WORKFLOW_STEPFUNCTIONS_SECRET_KEY"`
	// Pollers is how many steps of each kind this instance runs at once, each of
	// which is a connection that waits.
	Pollers int `env:"WORKFLOW_STEPFUNCTIONS_POLLERS" envDefault:"4"`
}

var stateMachinePattern = regexp.MustCompile(`^arn:aws[a-z-]*:states:([a-z0-9-]+):[0-9]{12}:stateMachine:[A-Za-z0-9_-]{1,70}$`)

// Validate reports a value that can't be meant.
func (c EngineConfig) Validate() error {
	return errors.Join(
		setting.Check(stateMachinePattern.MatchString(c.StateMachine),
			"WORKFLOW_STEPFUNCTIONS_STATE_MACHINE_ARN=%s: must be such as arn:aws:states:eu-central-1:123456789012:stateMachine:fulfilment; docs/patterns/workflow.md says how to make one", c.StateMachine),
		setting.Check(c.Endpoint == "" || strings.HasPrefix(c.Endpoint, "http://") || strings.HasPrefix(c.Endpoint, "https://"),
			"WORKFLOW_STEPFUNCTIONS_ENDPOINT: must be a URL such as http://localhost:8083"),
		setting.Check((c.AccessKey == "") == (c.SecretKey == ""), "WORKFLOW_STEPFUNCTIONS_ACCESS_KEY and WORKFLOW_STEPFUNCTIONS_SECRET_KEY: set both or none"),
		setting.Between("WORKFLOW_STEPFUNCTIONS_POLLERS", c.Pollers, 1, 1_000),
	)
}

func (c EngineConfig) region() string {
	return stateMachinePattern.FindStringSubmatch(c.StateMachine)[1]
}

// activities is what the ARNs of a state machine's activities begin with.
func activities(stateMachine string) string {
	return strings.Replace(stateMachine, ":stateMachine:", ":activity:", 1) + "-"
}

// longestStep is the most that WORKFLOW_STEP_TIMEOUT can be: the step and the word
// of how it went, which may each take as long, must end within the definition's
// TimeoutSeconds, or AWS has it done again meanwhile.
const longestStep = 30 * time.Second

// Errors as the definition names them.
const (
	errorPermanent = "Permanent"
	errorCancelled = "Cancelled"
	errorTransient = "Transient"
)

// decide is the activity that tells whether the caller has changed their mind.
const decide Step = "decide"

// worked are the activities that this service works off.
var worked = []Step{Reserve, Charge, decide, Ship, Refund, Release, Finish}

// stepFunctions runs workflows in AWS Step Functions, and works off their
// activities.
type stepFunctions struct {
	config  Config
	engine  EngineConfig
	steps   *Steps
	log     *slog.Logger
	client  *sfn.Client
	backoff time.Duration
	conns   *http.Transport
}

// pollWait is longer than AWS holds a poll that has nothing to give: 60s.
const pollWait = 70 * time.Second

func newEngine(ctx context.Context, config Config, engineConfig EngineConfig, steps *Steps, deps Deps) (engine, error) {
	cfg := aws.Config{Region: engineConfig.region()}
	if engineConfig.AccessKey != "" {
		cfg.Credentials = credentials.NewStaticCredentialsProvider(engineConfig.AccessKey, engineConfig.SecretKey, "")
	} else {
		var err error
		if cfg, err = awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(engineConfig.region())); err != nil {
			return nil, fmt.Errorf("AWS configuration: %w", err)
		}
	}
	conns := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is documented to be one
	conns.MaxIdleConnsPerHost = engineConfig.Pollers * len(worked)
	return &stepFunctions{
		config: config, engine: engineConfig, steps: steps, log: deps.Log, backoff: time.Second, conns: conns,
		client: sfn.NewFromConfig(cfg, func(o *sfn.Options) {
			o.HTTPClient = &http.Client{Transport: conns}
			if engineConfig.Endpoint != "" {
				o.BaseEndpoint = aws.String(engineConfig.Endpoint)
			}
		}),
	}, nil
}

// A stepState is what the state machine hands from state to state.
type stepState struct {
	Order         Order        `json:"order"`
	WindowSeconds int64        `json:"window_seconds"`
	Failure       *stepFailure `json:"failure,omitempty"`
	Undo          *stepFailure `json:"undo,omitempty"`
}

// A stepFailure is an error that the definition has caught.
type stepFailure struct{ Error, Cause string }

func (f stepFailure) reason() string {
	if f.Error == errorPermanent || f.Error == errorCancelled {
		return f.Cause
	}
	return strings.TrimSuffix("gave up after all attempts: "+f.Error+": "+f.Cause, ": ")
}

// A stepEnd is the input of the activity finish.
type stepEnd struct {
	Outcome Outcome   `json:"outcome"`
	State   stepState `json:"state"`
}

func (e stepEnd) reason() string {
	var reasons []string
	for _, f := range []*stepFailure{e.State.Failure, e.State.Undo} {
		if f != nil {
			reasons = append(reasons, f.reason())
		}
	}
	return strings.Join(reasons, "; ")
}

// do runs a step with the input that the state machine gave it.
func (e *stepFunctions) do(ctx context.Context, step Step, input string) error {
	if step == Finish {
		var end stepEnd
		if err := readInput(input, &end, func() Order { return end.State.Order }); err != nil {
			return err
		}
		if !slices.Contains(outcomes, end.Outcome) {
			return permanent("finish: there is no outcome %q", end.Outcome)
		}
		return e.steps.End(ctx, end.State.Order, end.Outcome, end.reason())
	}
	var state stepState
	if err := readInput(input, &state, func() Order { return state.Order }); err != nil {
		return err
	}
	if step == decide {
		return e.decide(ctx, state.Order.ID)
	}
	return e.steps.Do(ctx, step, state.Order)
}

// readInput reads what anyone who may start the state machine can have written.
func readInput(input string, into any, order func() Order) error {
	if err := json.Unmarshal([]byte(input), into); err != nil {
		return permanent("input: %v", err)
	}
	if err := order().Validate(); err != nil {
		return permanent("input: %v", err)
	}
	return nil
}

// cancelAsked is the note that a caller has changed their mind.
const cancelAsked = "cancel"

var errCancelled = errors.New("cancelled by the caller")

func (e *stepFunctions) decide(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, e.config.StepTimeout)
	defer cancel()
	var n int
	err := queryRow(ctx, e.steps.store.db, `SELECT count(*) FROM workflow_done WHERE order_id = $1 AND step = $2`, id, cancelAsked).Scan(&n)
	if err == nil && n > 0 {
		err = errCancelled
	}
	return err
}

// cancel leaves a note. Stopping the execution instead would undo nothing.
func (e *stepFunctions) cancel(ctx context.Context, id string) error {
	return database.InTx(ctx, e.steps.store.db, func(tx database.Tx) error {
		_, err := exec(ctx, tx, `INSERT INTO workflow_done (order_id, step, state) VALUES ($1, $2, 'done') ON CONFLICT (order_id, step) DO NOTHING`, id, cancelAsked)
		return err
	})
}

func (e *stepFunctions) start(ctx context.Context, order Order) error {
	input, err := json.Marshal(stepState{Order: order, WindowSeconds: int64(e.config.CancelWindow / time.Second)})
	if err != nil {
		return err
	}
	_, err = e.client.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: aws.String(e.engine.StateMachine),
		Name:            aws.String(executionID(order.ID)),
		Input:           aws.String(string(input)),
	})
	var exists *types.ExecutionAlreadyExists
	if errors.As(err, &exists) {
		return nil
	}
	return err
}

// position is the state that was entered last.
func (e *stepFunctions) position(ctx context.Context, id string) (string, error) {
	execution := strings.Replace(e.engine.StateMachine, ":stateMachine:", ":execution:", 1) + ":" + executionID(id)
	const enough = 20 // events since a state was entered: its task, scheduled, started, failed
	out, err := e.client.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{
		ExecutionArn: aws.String(execution), ReverseOrder: true, MaxResults: enough,
	})
	if err != nil {
		return "", err
	}
	for _, event := range out.Events {
		if event.StateEnteredEventDetails != nil {
			return strings.ToLower(aws.ToString(event.StateEnteredEventDetails.Name)), nil
		}
	}
	return "", nil
}

func (e *stepFunctions) ready(ctx context.Context) error {
	_, err := e.client.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(e.engine.StateMachine)})
	return err
}

func (e *stepFunctions) launch(context.Context) error { return nil }

// run polls for each activity until ctx is done, and lets the steps end that run.
func (e *stepFunctions) run(ctx context.Context) error {
	var pollers sync.WaitGroup
	for _, step := range worked {
		for range e.engine.Pollers {
			pollers.Go(func() { e.poll(ctx, step) })
		}
	}
	pollers.Wait()
	return nil
}

func (e *stepFunctions) poll(ctx context.Context, step Step) {
	activity := activities(e.engine.StateMachine) + string(step)
	for ctx.Err() == nil {
		task, err := e.next(ctx, activity)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			e.log.WarnContext(ctx, "workflow activity: does not work for now", "activity", step, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(e.backoff):
			}
		case aws.ToString(task.TaskToken) != "":
			// What was taken is done also while the service stops.
			e.answer(context.WithoutCancel(ctx), step, task)
		}
	}
}

func (e *stepFunctions) next(ctx context.Context, activity string) (*sfn.GetActivityTaskOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, pollWait)
	defer cancel()
	return e.client.GetActivityTask(ctx, &sfn.GetActivityTaskInput{ActivityArn: aws.String(activity)})
}

// answer does a task and tells how it went. Where that can't be told, the state
// machine's timeout has the step done again, which changes nothing.
func (e *stepFunctions) answer(ctx context.Context, step Step, task *sfn.GetActivityTaskOutput) {
	err := e.do(ctx, step, aws.ToString(task.Input))
	ctx, cancel := context.WithTimeout(ctx, e.config.StepTimeout)
	defer cancel()
	var told error
	if err == nil {
		_, told = e.client.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: task.TaskToken, Output: aws.String("{}")})
	} else {
		kind := errorTransient
		switch {
		case IsPermanent(err):
			kind = errorPermanent
		case errors.Is(err, errCancelled):
			kind = errorCancelled
		}
		_, told = e.client.SendTaskFailure(ctx, &sfn.SendTaskFailureInput{TaskToken: task.TaskToken, Error: aws.String(kind), Cause: aws.String(err.Error())})
	}
	if told != nil {
		e.log.WarnContext(ctx, "workflow activity: could not tell how it went", "activity", step, "error", told)
	}
}

func (e *stepFunctions) close(context.Context) error {
	e.conns.CloseIdleConnections()
	return nil
}

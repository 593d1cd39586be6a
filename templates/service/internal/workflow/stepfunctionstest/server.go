//go:build stepfunctions

package stepfunctionstest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// StateMachine is the ARN of the server's state machine.
const StateMachine = "arn:aws:states:us-east-1:123456789012:stateMachine:fulfilment"

// A Server runs executions of one state machine, and answers as AWS does.
type Server struct {
	URL string

	machine *Machine
	second  time.Duration // how long a second of the definition takes
	http    *httptest.Server
	ctx     context.Context //nolint:containedctx // it is the server's own, for what runs behind a request
	runs    sync.WaitGroup

	mu         sync.Mutex
	executions map[string]*execution
	waiting    map[string][]*task // by activity, for a worker
	taken      map[string]*task   // by token, by a worker
	arrived    chan struct{}      // closed when a task comes to waiting
	down       bool
}

type execution struct {
	input  string
	status string
	// entered are the states, the first first.
	entered []string
}

type task struct {
	token, input string
	timeout      time.Duration
	result       chan outcome
}

type outcome struct {
	output     any
	err, cause string
}

// New starts a server with the definition, until the test ends. The definition's
// times pass as if a second took only so long.
func New(t testing.TB, definition string, second time.Duration) *Server {
	t.Helper()
	machine, err := Parse(definition)
	if err != nil {
		t.Fatalf("the definition: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		machine: machine, second: second, ctx: ctx,
		executions: make(map[string]*execution), waiting: make(map[string][]*task), taken: make(map[string]*task),
		arrived: make(chan struct{}),
	}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	t.Cleanup(func() {
		cancel()
		s.runs.Wait()
		s.http.Close()
	})
	return s
}

// SetDown has the server answer nothing but errors, or answer again. Executions
// go on.
func (s *Server) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Status returns an execution's status, and the states that it has entered.
func (s *Server) Status(name string) (string, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.executions[name]
	if !ok {
		return "", nil
	}
	return x.status, slices.Clone(x.entered)
}

// run interprets the machine for one execution.
func (s *Server) run(x *execution) {
	var data map[string]any
	status := "FAILED"
	if err := json.Unmarshal([]byte(x.input), &data); err == nil {
		status = s.walk(x, data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x.status = status
}

func (s *Server) walk(x *execution, data map[string]any) (status string) {
	name := s.machine.StartAt
	for {
		s.mu.Lock()
		x.entered = append(x.entered, name)
		s.mu.Unlock()
		state := s.machine.States[name]
		switch state.Type {
		case "Succeed":
			return "SUCCEEDED"
		case "Fail":
			return "FAILED"
		case "Wait":
			seconds, _ := lookup(data, state.SecondsPath)
			n, ok := seconds.(float64)
			if !ok || n < 0 {
				return "FAILED"
			}
			if !s.wait(time.Duration(n * float64(s.second))) {
				return "RUNNING"
			}
			name = state.Next
		case "Choice":
			name = state.choose(data)
		default:
			var ok bool
			if name, data, ok = s.task(state, data); !ok {
				return "FAILED"
			}
		}
		if s.ctx.Err() != nil {
			return "RUNNING"
		}
	}
}

func (s *State) choose(data map[string]any) string {
	for _, c := range s.Choices {
		if value, ok := lookup(data, c.Variable); ok && value == c.StringEquals {
			return c.Next
		}
	}
	return s.Default
}

// task has a worker do a task, again as often as the retriers say, and returns
// where it goes on.
func (s *Server) task(state *State, data map[string]any) (next string, _ map[string]any, ok bool) {
	retried := make([]int, len(state.Retry))
	for {
		got, ok := s.attempt(state, data)
		if !ok {
			return "", nil, false
		}
		if got.err == "" {
			return state.Next, put(data, state.ResultPath, got.output), true
		}
		i := slices.IndexFunc(state.Retry, func(r *Retrier) bool { return catches(r.ErrorEquals, got.err) })
		if i >= 0 && retried[i] < state.Retry[i].MaxAttempts {
			r := state.Retry[i]
			delay := min(float64(r.MaxDelaySeconds), float64(r.IntervalSeconds)*math.Pow(r.BackoffRate, float64(retried[i])))
			retried[i]++
			if !s.wait(time.Duration(delay * float64(s.second))) {
				return "", nil, false
			}
			continue
		}
		i = slices.IndexFunc(state.Catch, func(c *Catcher) bool { return catches(c.ErrorEquals, got.err) })
		if i < 0 {
			return "", nil, false
		}
		c := state.Catch[i]
		return c.Next, put(data, c.ResultPath, map[string]any{"Error": got.err, "Cause": got.cause}), true
	}
}

// attempt hands a task to a worker once. The timeout runs from when one has it.
func (s *Server) attempt(state *State, data map[string]any) (outcome, bool) {
	input, err := json.Marshal(state.input(data))
	if err != nil {
		return outcome{}, false
	}
	t := &task{
		token: rand.Text(), input: string(input), timeout: time.Duration(state.TimeoutSeconds) * s.second,
		result: make(chan outcome, 1),
	}
	s.mu.Lock()
	s.waiting[state.Resource] = append(s.waiting[state.Resource], t)
	close(s.arrived)
	s.arrived = make(chan struct{})
	s.mu.Unlock()
	select {
	case got := <-t.result:
		return got, true
	case <-s.ctx.Done():
		return outcome{}, false
	}
}

func (s *Server) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-s.ctx.Done():
		return false
	}
}

// ServeHTTP implements [http.Handler]: AWS JSON 1.0, the operation in a header.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		StateMachineArn, ExecutionArn, ActivityArn, Name, Input, TaskToken, Output, Error, Cause string
		ReverseOrder                                                                             bool
		MaxResults                                                                               int
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(w, http.StatusBadRequest, "SerializationException")
		return
	}
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	operation, known := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AWSStepFunctions.")
	switch {
	case down:
		fail(w, http.StatusServiceUnavailable, "ServiceUnavailable")
	case !known || !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "):
		fail(w, http.StatusForbidden, "IncompleteSignature")
	case operation == "DescribeStateMachine" && in.StateMachineArn == StateMachine:
		answer(w, map[string]any{"stateMachineArn": StateMachine, "name": "fulfilment", "definition": "{}", "roleArn": "role", "type": "STANDARD", "creationDate": 1.9e9})
	case operation == "StartExecution" && in.StateMachineArn == StateMachine:
		s.start(w, in.Name, in.Input)
	case operation == "GetExecutionHistory" && in.ReverseOrder:
		s.history(w, in.ExecutionArn, in.MaxResults)
	case operation == "GetActivityTask":
		s.poll(w, r, in.ActivityArn)
	case operation == "SendTaskSuccess":
		var output any
		if err := json.Unmarshal([]byte(in.Output), &output); err != nil {
			fail(w, http.StatusBadRequest, "InvalidOutput")
			return
		}
		s.settle(w, in.TaskToken, outcome{output: output})
	case operation == "SendTaskFailure":
		s.settle(w, in.TaskToken, outcome{err: in.Error, cause: in.Cause})
	default:
		fail(w, http.StatusBadRequest, "UnknownOperationException")
	}
}

func (s *Server) start(w http.ResponseWriter, name, input string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.executions[name]
	switch {
	case ok && (x.status != "RUNNING" || x.input != input):
		fail(w, http.StatusBadRequest, "ExecutionAlreadyExists")
		return
	case !ok:
		x = &execution{input: input, status: "RUNNING"}
		s.executions[name] = x
		s.runs.Go(func() { s.run(x) })
	}
	answer(w, map[string]any{"executionArn": executionARN(name), "startDate": 1.9e9})
}

func executionARN(name string) string {
	return strings.Replace(StateMachine, ":stateMachine:", ":execution:", 1) + ":" + name
}

func (s *Server) history(w http.ResponseWriter, arn string, limit int) {
	_, entered := s.Status(strings.TrimPrefix(arn, executionARN("")))
	if entered == nil {
		fail(w, http.StatusBadRequest, "ExecutionDoesNotExist")
		return
	}
	events := []any{}
	for i, name := range slices.Backward(entered) {
		if len(events) == limit {
			break
		}
		events = append(events, map[string]any{
			"id": i + 1, "timestamp": 1.9e9, "type": s.machine.States[name].Type + "StateEntered",
			"stateEnteredEventDetails": map[string]any{"name": name},
		})
	}
	answer(w, map[string]any{"events": events})
}

// poll gives a worker the next task of an activity, or nothing after a minute.
func (s *Server) poll(w http.ResponseWriter, r *http.Request, activity string) {
	over := time.After(60 * s.second)
	for {
		s.mu.Lock()
		if queue := s.waiting[activity]; len(queue) > 0 && r.Context().Err() == nil {
			t := queue[0]
			s.waiting[activity] = queue[1:]
			s.taken[t.token] = t
			s.mu.Unlock()
			s.runs.Go(func() { s.expire(t) })
			answer(w, map[string]any{"taskToken": t.token, "input": t.input})
			return
		}
		arrived := s.arrived
		s.mu.Unlock()
		select {
		case <-arrived:
		case <-over:
			answer(w, map[string]any{})
			return
		case <-r.Context().Done():
			return
		case <-s.ctx.Done():
			answer(w, map[string]any{})
			return
		}
	}
}

func (s *Server) expire(t *task) {
	if s.wait(t.timeout) {
		s.take(t.token, outcome{err: errTimeout})
	}
}

// take gives a task its outcome, and reports whether it waited for one.
func (s *Server) take(token string, o outcome) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.taken[token]
	if ok {
		delete(s.taken, token)
		t.result <- o
	}
	return ok
}

func (s *Server) settle(w http.ResponseWriter, token string, o outcome) {
	if !s.take(token, o) {
		fail(w, http.StatusBadRequest, "TaskTimedOut")
		return
	}
	answer(w, map[string]any{})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

func fail(w http.ResponseWriter, status int, kind string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"__type": "com.amazonaws.states#%s", "message": %q}`, kind, kind) // the client may be gone
}

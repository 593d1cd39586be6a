//go:build stepfunctions

// Package stepfunctionstest interprets state machines for tests: as much of the
// Amazon States Language as the service's definition uses, behind as much of AWS
// Step Functions' API as the service calls. A definition that uses anything else
// is refused, so that nothing is taken for tested which is not.
package stepfunctionstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A Machine is a state machine.
type Machine struct {
	Comment string
	StartAt string
	States  map[string]*State
}

// A State is one state of it, of the type Task (an activity), Wait, Choice,
// Succeed or Fail.
type State struct {
	Comment string
	Type    string
	Next    string

	// Of a Task.
	Resource       string
	TimeoutSeconds int
	Parameters     map[string]any
	ResultPath     path
	Retry          []*Retrier
	Catch          []*Catcher

	// Of a Wait.
	SecondsPath string

	// Of a Choice.
	Choices []Choice
	Default string

	// Of a Fail.
	Error, Cause string
}

// A Retrier says how a task is tried again.
type Retrier struct {
	ErrorEquals     []string
	IntervalSeconds int
	BackoffRate     float64
	MaxDelaySeconds int
	MaxAttempts     int
}

// A Catcher says where it goes on when a task has failed.
type Catcher struct {
	ErrorEquals []string
	ResultPath  path
	Next        string
}

// A Choice is one rule of a Choice state.
type Choice struct {
	Variable     string
	StringEquals string
	Next         string
}

// A path is a reference path to a field of the input, or null.
type path struct {
	given, null bool
	field       string
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *path) UnmarshalJSON(data []byte) error {
	p.given = true
	if p.null = string(data) == "null"; p.null {
		return nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if !fieldPath.MatchString(s) {
		return fmt.Errorf("ResultPath %q: this interpreter knows null and $.field only", s)
	}
	p.field = s[2:]
	return nil
}

var (
	fieldPath    = regexp.MustCompile(`^\$\.[a-z_]+$`)
	variablePath = regexp.MustCompile(`^\$(\.[A-Za-z_]+)+$`)
	activityARN  = regexp.MustCompile(`^arn:aws:states:[a-z0-9-]+:[0-9]{12}:activity:[A-Za-z0-9_-]{1,80}$`)
)

// Errors that the language itself has.
const (
	errAll     = "States.ALL"
	errTimeout = "States.Timeout"
)

// Parse reads a definition, and refuses one that could not run to an end.
func Parse(definition string) (*Machine, error) {
	dec := json.NewDecoder(bytes.NewReader([]byte(definition)))
	dec.DisallowUnknownFields()
	var m Machine
	if err := dec.Decode(&m); err != nil {
		return nil, err
	}
	var errs []error
	reached := make(map[string]bool)
	var visit func(from, name string)
	visit = func(from, name string) {
		s, ok := m.States[name]
		if !ok {
			errs = append(errs, fmt.Errorf("%s: goes on to %q, which is no state", from, name))
			return
		}
		if reached[name] {
			return
		}
		reached[name] = true
		if err := s.check(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		for _, next := range s.nexts() {
			visit(name, next)
		}
	}
	visit("StartAt", m.StartAt)
	for _, name := range slices.Sorted(maps.Keys(m.States)) {
		if !reached[name] {
			errs = append(errs, fmt.Errorf("%s: is never reached", name))
		}
		if !m.ends(name, make(map[string]bool)) {
			errs = append(errs, fmt.Errorf("%s: leads to no end", name))
		}
	}
	return &m, errors.Join(errs...)
}

// nexts returns the states that can follow.
func (s *State) nexts() []string {
	var all []string
	if s.Next != "" {
		all = append(all, s.Next)
	}
	for _, c := range s.Catch {
		all = append(all, c.Next)
	}
	for _, c := range s.Choices {
		all = append(all, c.Next)
	}
	if s.Default != "" {
		all = append(all, s.Default)
	}
	return all
}

func (m *Machine) ends(name string, seen map[string]bool) bool {
	s, ok := m.States[name]
	if !ok || seen[name] {
		return false
	}
	seen[name] = true
	return s.Type == "Succeed" || s.Type == "Fail" || slices.ContainsFunc(s.nexts(), func(next string) bool { return m.ends(next, seen) })
}

func (s *State) check() error {
	switch s.Type {
	case "Task":
		return s.checkTask()
	case "Wait":
		return expect(fieldPath.MatchString(s.SecondsPath) && s.Next != "", "a Wait needs SecondsPath and Next")
	case "Choice":
		errs := []error{expect(len(s.Choices) > 0 && s.Default != "" && s.Next == "", "a Choice needs Choices and Default, and no Next")}
		for _, c := range s.Choices {
			errs = append(errs, expect(variablePath.MatchString(c.Variable) && c.StringEquals != "", "a rule needs Variable and StringEquals"))
		}
		return errors.Join(errs...)
	case "Succeed":
		return expect(len(s.nexts()) == 0, "nothing follows a Succeed")
	case "Fail":
		return expect(len(s.nexts()) == 0 && s.Error != "" && s.Cause != "", "a Fail has Error and Cause, and nothing follows it")
	}
	return fmt.Errorf("this interpreter knows no state of the type %q", s.Type)
}

func (s *State) checkTask() error {
	errs := []error{
		expect(activityARN.MatchString(s.Resource), "Resource must be the ARN of an activity"),
		expect(s.TimeoutSeconds > 0, "a task without TimeoutSeconds waits for ever for a worker that has died"),
		expect(s.ResultPath.given, "ResultPath must be given: without it the result takes the input's place"),
		expect(s.Next != "", "a Task needs Next"),
	}
	for key, value := range s.Parameters {
		text, isText := value.(string)
		errs = append(errs, expect(isText && (!strings.HasSuffix(key, ".$") || text == "$"), "Parameters: this interpreter knows strings and $ only"))
	}
	for i, r := range s.Retry {
		errs = append(errs, errorNames(r.ErrorEquals, i == len(s.Retry)-1),
			expect(r.MaxAttempts == 0 || r.IntervalSeconds > 0 && r.BackoffRate >= 1 && r.MaxDelaySeconds > r.IntervalSeconds,
				"Retry: IntervalSeconds, BackoffRate and MaxDelaySeconds don't go together"))
	}
	for i, c := range s.Catch {
		errs = append(errs, errorNames(c.ErrorEquals, i == len(s.Catch)-1))
	}
	return errors.Join(errs...)
}

// errorNames holds to what the language says of States.ALL.
func errorNames(names []string, last bool) error {
	if !slices.Contains(names, errAll) {
		return expect(len(names) > 0, "ErrorEquals: names nothing")
	}
	return expect(len(names) == 1 && last, "ErrorEquals: States.ALL must stand alone, and last")
}

func expect(ok bool, message string) error {
	if ok {
		return nil
	}
	return errors.New(message)
}

func catches(names []string, name string) bool {
	return slices.Contains(names, name) || slices.Contains(names, errAll)
}

// lookup returns what is at a path such as $.failure.Error.
func lookup(data map[string]any, at string) (any, bool) {
	var value any = data
	for name := range strings.SplitSeq(strings.TrimPrefix(at, "$."), ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = object[name]; !ok {
			return nil, false
		}
	}
	return value, true
}

// input is what a task is given.
func (s *State) input(data map[string]any) map[string]any {
	if s.Parameters == nil {
		return data
	}
	in := make(map[string]any, len(s.Parameters))
	for key, value := range s.Parameters {
		if name, ok := strings.CutSuffix(key, ".$"); ok {
			in[name] = data
		} else {
			in[key] = value
		}
	}
	return in
}

// put returns data with a result where the path says.
func put(data map[string]any, p path, result any) map[string]any {
	if p.null {
		return data
	}
	with := maps.Clone(data)
	with[p.field] = result
	return with
}

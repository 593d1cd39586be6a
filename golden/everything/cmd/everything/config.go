package main

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// settings reads the settings of all parts, and notes what is wrong with them:
// so everything is told at once, and before any part has done anything.
type settings struct {
	getenv func(string) string
	faults []error
}

// A validator is a configuration that has more to say of its values than their
// types do. Of its errors, joined, each is one line that begins with the
// variable.
type validator interface{ Validate() error }

// loadConfig reads a part's own configuration, a flat struct with `env` tags,
// and notes its faults.
func loadConfig[T any](s *settings) T {
	var config T
	params, err := env.GetFieldParams(&config)
	if err != nil {
		s.refuse(fmt.Errorf("configuration %T: %w", config, err))
		return config
	}
	environment := make(map[string]string, len(params))
	for _, p := range params {
		if v := s.getenv(p.Key); v != "" {
			environment[p.Key] = v
		}
	}
	if err := env.ParseWithOptions(&config, env.Options{Environment: environment}); err != nil {
		s.refuse(parseFaults(err, reflect.TypeFor[T]()))
	}
	if v, ok := any(config).(validator); ok {
		s.refuse(v.Validate())
	}
	return config
}

// parseFaults names the variable where the library names the struct's field.
func parseFaults(err error, config reflect.Type) error {
	var aggregate env.AggregateError
	if !errors.As(err, &aggregate) {
		return err
	}
	errs := make([]error, 0, len(aggregate.Errors))
	for _, err := range aggregate.Errors {
		var parse env.ParseError
		if errors.As(err, &parse) {
			if field, ok := config.FieldByName(parse.Name); ok {
				variable, _, _ := strings.Cut(field.Tag.Get("env"), ",")
				err = fmt.Errorf("%s: %w", variable, parse.Err)
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// refuse notes a fault, or all that are joined in one; nil is none.
func (s *settings) refuse(fault error) {
	if joined, ok := fault.(interface{ Unwrap() []error }); ok { //nolint:errorlint // a join of our own, not a cause
		for _, fault := range joined.Unwrap() {
			s.refuse(fault)
		}
	} else if fault != nil {
		s.faults = append(s.faults, fault)
	}
}

var variablePattern = regexp.MustCompile(`[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+`)

// err returns the faults, one a line: the first of each variable, and then those
// of variables that are right each by itself and contradict each other.
func (s *settings) err() error {
	var single, several []error
	wrong := make(map[string]bool)
	told := func(fault error) bool {
		repeated := wrong[fault.Error()]
		wrong[fault.Error()] = true
		return repeated
	}
	for _, fault := range s.faults {
		variables := variablesOf(fault)
		if len(variables) > 1 {
			several = append(several, fault)
			continue
		}
		if told(fault) || slices.ContainsFunc(variables, func(v string) bool { return wrong[v] }) {
			continue
		}
		for _, v := range variables {
			wrong[v] = true
		}
		single = append(single, fault)
	}
	several = slices.DeleteFunc(several, func(fault error) bool {
		return told(fault) || slices.ContainsFunc(variablesOf(fault), func(v string) bool { return wrong[v] })
	})
	return errors.Join(append(single, several...)...)
}

func variablesOf(fault error) []string {
	variables := variablePattern.FindAllString(fault.Error(), -1)
	slices.Sort(variables)
	return slices.Compact(variables)
}

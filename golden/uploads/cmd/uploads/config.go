package main

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/caarlos0/env/v11"
)

// settings reads the settings of all parts, and notes what is wrong with them:
// so everything is told at once, and before any part has done anything.
type settings struct {
	getenv func(string) string
	faults []error
	// clashes are of settings that are right each by itself.
	clashes []error
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
		// What has no value that can be read has its default while the rest is
		// looked at, so that nothing is said of it twice.
		for variable, fault := range parseFaults[T](err) {
			s.refuse(fault)
			delete(environment, variable)
		}
		config = *new(T)
		_ = env.ParseWithOptions(&config, env.Options{Environment: environment}) // what it says was told above
	}
	if v, ok := any(config).(validator); ok {
		s.refuse(v.Validate())
	}
	return config
}

// parseFaults yields the variables that could not be read, each with its fault,
// which names it where the library's names the struct's field.
func parseFaults[T any](err error) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		errs := []error{err}
		var aggregate env.AggregateError
		if errors.As(err, &aggregate) {
			errs = aggregate.Errors
		}
		for _, err := range errs {
			variable := ""
			var parse env.ParseError
			if errors.As(err, &parse) {
				if field, ok := reflect.TypeFor[T]().FieldByName(parse.Name); ok {
					variable, _, _ = strings.Cut(field.Tag.Get("env"), ",")
					err = unread(variable, parse.Err)
				}
			}
			if !yield(variable, err) {
				return
			}
		}
	}
}

// unread says why a variable's value could not be read.
func unread(variable string, err error) error {
	num, ok := errors.AsType[*strconv.NumError](err)
	switch {
	case !ok:
		return fmt.Errorf("%s: %w", variable, err)
	case num.Func == "ParseBool":
		return fmt.Errorf("%s=%s: must be true or false (%w)", variable, num.Num, num.Err)
	}
	return fmt.Errorf("%s=%s: must be a number (%w)", variable, num.Num, num.Err)
}

// refuse notes a fault, or all that are joined in one; nil is none. A
// configuration that several parts read has its faults told once.
func (s *settings) refuse(fault error) {
	if joined, ok := fault.(interface{ Unwrap() []error }); ok { //nolint:errorlint // a join of our own, not a cause
		for _, fault := range joined.Unwrap() {
			s.refuse(fault)
		}
		return
	}
	if fault != nil && !slices.ContainsFunc(s.faults, func(f error) bool { return f.Error() == fault.Error() }) {
		s.faults = append(s.faults, fault)
	}
}

// refuseTogether notes that settings contradict each other; nil is nothing. It is
// told only when each is right by itself.
func (s *settings) refuseTogether(clash error) {
	if clash != nil {
		s.clashes = append(s.clashes, clash)
	}
}

// err returns what was noted, one a line.
func (s *settings) err() error {
	if len(s.faults) > 0 {
		return errors.Join(s.faults...)
	}
	return errors.Join(s.clashes...)
}

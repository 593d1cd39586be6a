package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// A validator is a configuration that has more to say of its values than their
// types do. Its errors name the variables.
type validator interface{ Validate() error }

// loadConfig reads a part's own configuration, a flat struct with `env` tags,
// from the environment. An error names the variable.
func loadConfig[T any](getenv func(string) string) (T, error) {
	var cfg T
	params, err := env.GetFieldParams(&cfg)
	if err != nil {
		return cfg, fmt.Errorf("configuration %T: %w", cfg, err)
	}
	environment := make(map[string]string, len(params))
	for _, p := range params {
		if v := getenv(p.Key); v != "" {
			environment[p.Key] = v
		}
	}
	if err := env.ParseWithOptions(&cfg, env.Options{Environment: environment}); err != nil {
		return cfg, configError(err, reflect.TypeFor[T]())
	}
	if v, ok := any(cfg).(validator); ok {
		if err := v.Validate(); err != nil {
			return cfg, fmt.Errorf("configuration: %w", err)
		}
	}
	return cfg, nil
}

// configError names the variable where the library names the struct's field.
func configError(err error, config reflect.Type) error {
	var aggregate env.AggregateError
	if !errors.As(err, &aggregate) {
		return fmt.Errorf("configuration: %w", err)
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
		errs = append(errs, fmt.Errorf("configuration: %w", err))
	}
	return errors.Join(errs...)
}

// Package setting checks the values of settings. Its errors begin with the
// variable, as whoever set it knows it. It knows no variable and reads none.
package setting

import (
	"cmp"
	"fmt"
)

// Positive reports a value that is not more than 0.
func Positive[T cmp.Ordered](variable string, value T) error {
	var zero T
	if value > zero {
		return nil
	}
	return fmt.Errorf("%s=%v: must be more than 0", variable, value)
}

// AtLeast reports a value below least.
func AtLeast[T cmp.Ordered](variable string, value, least T) error {
	if value >= least {
		return nil
	}
	return fmt.Errorf("%s=%v: must be at least %v", variable, value, least)
}

// Between reports a value that is not from least to most. No NaN is.
func Between[T cmp.Ordered](variable string, value, least, most T) error {
	if value >= least && value <= most {
		return nil
	}
	return fmt.Errorf("%s=%v: must be from %v to %v", variable, value, least, most)
}

// Within reports a value above that of another setting, its bound, and says why
// that can't be.
func Within[T cmp.Ordered](variable string, value T, bound string, most T, why string) error {
	if value <= most {
		return nil
	}
	return fmt.Errorf("%s=%v: must not be more than %s=%v, %s", variable, value, bound, most, why)
}

// Check returns an error with this text, formatted, unless ok.
func Check(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

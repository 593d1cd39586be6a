package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/ask"
	"github.com/seed-d146d9dc/scaffold/internal/catalog"
)

// What the process exits with.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2 // a mistake in what was typed, or in scaffold.yaml
	exitConflicts   = 3 // conflicts are to be decided, and nothing was written
	exitDrift       = 4 // check found that apply would change something
	exitInterrupted = 130
)

// A usageError is a mistake in what was typed, or in scaffold.yaml.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

var (
	// errConflicts ends a command that must not decide them by itself.
	errConflicts = errors.New("nothing was written")
	// errDrift ends check.
	errDrift = errors.New("drift")
	// errDeclined ends a command whose plan the person said no to.
	errDeclined = errors.New("nothing was written: the plan was not confirmed")
)

// exitCode says what the process exits with after err.
func exitCode(err error) int {
	var usage *usageError
	var unknown *catalog.UnknownError
	var unborne *bearError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, ask.ErrInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, errConflicts), errors.As(err, &unborne):
		return exitConflicts
	case errors.Is(err, errDrift):
		return exitDrift
	case errors.As(err, &usage), errors.As(err, &unknown):
		return exitUsage
	}
	return exitFailed
}

// report prints err, on one line, and returns the exit code.
func (a *app) report(err error) int {
	code := exitCode(err)
	switch code {
	case exitDone:
	case exitInterrupted:
		a.notef("interrupted: nothing was written")
	default:
		a.notef("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return code
}

// notef prints a line beside what the command prints.
func (a *app) notef(format string, args ...any) {
	note := fmt.Sprintf(format, args...)
	a.notes = append(a.notes, note)
	_, _ = fmt.Fprintf(a.err, "scaffold: %s\n", note)
}

// printf prints what the command is for. That it can't be printed is said once,
// by notPrinted.
func (a *app) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(a.printed, format, args...)
}

// printed is where a command prints. It keeps the first error.
type printed struct {
	to  io.Writer
	err error
	// document says that a JSON document was printed.
	document bool
}

func (p *printed) Write(b []byte) (int, error) {
	n, err := p.to.Write(b)
	if p.err == nil {
		p.err = err
	}
	return n, err
}

// notPrinted reports that not all could be printed, and what was done anyway.
func (a *app) notPrinted() error {
	err := a.printed.err
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	switch {
	case err == nil:
		return nil
	case a.wrote != "":
		return fmt.Errorf("stdout: can't be written: %w; the service in %s was written all the same", err, a.wrote)
	}
	return fmt.Errorf("stdout: can't be written: %w (send it elsewhere, and run this again)", err)
}

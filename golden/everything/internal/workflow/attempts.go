package workflow

import (
	"errors"
	"math"
	"time"

	"example.com/orders/internal/setting"
)

// Attempts says how often a step is tried. The wait between two attempts begins
// with firstWait and doubles up to longestWait.
type Attempts struct {
	// Step is how often a step is tried before those before it are undone.
	Step int `env:"WORKFLOW_STEP_ATTEMPTS" envDefault:"5"`
	// Undo is how often it is tried to undo one, and to ship, after which nothing
	// can be undone, before a person has to look.
	Undo int `env:"WORKFLOW_UNDO_ATTEMPTS" envDefault:"100"`
}

// longestStep is the most that WORKFLOW_STEP_TIMEOUT can be.
const longestStep = time.Hour

const (
	firstWait   = 200 * time.Millisecond
	longestWait = 30 * time.Second
)

// of returns how often this step is tried. How it ended is noted, however long
// that takes.
func (a Attempts) of(step Step) int {
	switch step {
	case Reserve, Charge:
		return a.Step
	case Finish:
		return math.MaxInt32
	}
	return a.Undo
}

func (a Attempts) validate() error {
	return errors.Join(
		setting.Between("WORKFLOW_STEP_ATTEMPTS", a.Step, 1, 1_000),
		setting.Between("WORKFLOW_UNDO_ATTEMPTS", a.Undo, 1, 100_000),
	)
}

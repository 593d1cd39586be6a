// Package waittest lets tests wait for what is to happen, rather than for a time
// to pass.
package waittest

import (
	"testing"
	"time"
)

const (
	// patience bounds what a failing test takes, no more. It is longer than the
	// slowest thing that tests wait for: that the jobs of an instance which was
	// killed are found and rescued.
	patience = 3 * time.Minute
	// pause is the time between two looks.
	pause = 5 * time.Millisecond
)

// Until waits until the condition returns nil, and fails the test with the last
// error when that takes too long. Call it from the test's own goroutine.
func Until(t testing.TB, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still not so after %s: %v", patience, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%v: %v", t.Context().Err(), err)
		case <-time.After(pause):
		}
	}
}

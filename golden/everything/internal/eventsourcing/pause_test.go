package eventsourcing

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for attempt, most := range map[int]time.Duration{1: firstPause, 2: 2 * firstPause, 4: 8 * firstPause, 5: longestPause, 100: longestPause} {
			seen := map[time.Duration]bool{}
			for range 20 {
				begin := time.Now()
				if err := pause(t.Context(), attempt, ErrConflict); err != nil {
					t.Error(err)
				}
				took := time.Since(begin)
				if seen[took] = true; took < most/2 || took >= most {
					t.Errorf("after attempt %d: %v, want from %v to %v", attempt, took, most/2, most)
				}
			}
			if len(seen) == 1 {
				t.Errorf("after attempt %d all wait as long", attempt)
			}
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		begin := time.Now()
		err := pause(ctx, 1, ErrConflict)
		if took := time.Since(begin); took != time.Millisecond {
			t.Errorf("it took %v, longer than there was time", took)
		}
		if !errors.Is(err, ErrConflict) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

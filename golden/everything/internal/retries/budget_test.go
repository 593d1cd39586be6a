package retries

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// However first attempts, retries and time come, no more retries are granted
// than were saved up, paid for and waited for.
func TestBudgetBounds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		firsts, retries int           // a round
		pause           time.Duration // after it
		want            int           // retries granted in 100 rounds
	}{
		{firsts: 10, retries: 30, pause: 0, want: 10 + 200},                  // the ratio
		{firsts: 0, retries: 30, pause: time.Second, want: 10 + 2*99},        // time
		{firsts: 10, retries: 1, pause: 0, want: 100},                        // all within the budget
		{firsts: 10, retries: 30, pause: time.Second, want: 10 + 200 + 2*99}, // both
		{firsts: 0, retries: 30, pause: 0, want: 10},                         // what was saved
	} {
		synctest.Test(t, func(t *testing.T) {
			budget := NewBudget(0.2, 2, 10)
			granted := 0
			// The retries come first: the budget is full when a round's first
			// attempts would fill it.
			for range 100 {
				for range tt.retries {
					if budget.Retry() {
						granted++
					}
				}
				for range tt.firsts {
					budget.First()
				}
				time.Sleep(tt.pause)
			}
			if last := tt.firsts / 5; granted > tt.want || granted < tt.want-last-1 {
				t.Errorf("%+v: %d retries were granted", tt, granted)
			}
		})
	}
}

func TestBudgetIsCapped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(0.2, 2, 10)
		for range 1000 {
			budget.First()
		}
		time.Sleep(time.Hour)
		if got := budget.Tokens(); got != 10 {
			t.Errorf("%g tokens, want the burst of 10", got)
		}
	})
}

// A service that calls ever new hosts does not grow, and a host that is in
// trouble is not forgotten for it.
func TestBudgetsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudgets(func() *Budget { return NewBudget(0.2, 0, 1) })
		spent := b.of("down.example.com")
		if !spent.Retry() {
			t.Fatal("a new budget is empty")
		}
		for i := range 10 * maxBudgets {
			b.of(fmt.Sprint(i))
		}
		if len(b.byKey) > maxBudgets {
			t.Errorf("%d budgets are kept, want at most %d", len(b.byKey), maxBudgets)
		}
		if b.of("down.example.com") != spent {
			t.Error("a spent budget was forgotten")
		}
		for i := range 2 * maxBudgets {
			b.of(fmt.Sprint("down", i)).Retry()
		}
		if len(b.byKey) > maxBudgets {
			t.Errorf("%d spent budgets are kept, want at most %d", len(b.byKey), maxBudgets)
		}
		if b.of("one more") != b.rest {
			t.Error("a host that there is no room for does not share a budget")
		}
	})
}

func BenchmarkBudget(b *testing.B) {
	budget := NewBudget(0.2, 10, 10)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			budget.First()
			budget.Retry()
		}
	})
}

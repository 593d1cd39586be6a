package retries

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Budget bounds the retries of one thing, a kind of jobs or a host, by its
// first attempts. It is a token bucket: a first attempt puts a share of a token
// in, time puts a few in, and a retry takes one out. While a dependency works,
// the bucket is full and a blip is retried at once; when all calls fail, the
// retries soon are a share of the first attempts, and no multiple of them.
//
// The scheme is Finagle's RetryBudget; the reason for it is in Site Reliability
// Engineering (Beyer et al., 2016), chapter 22, 'Retries'. It is safe for
// concurrent use.
type Budget struct {
	ratio     float64 // tokens for a first attempt
	perSecond float64
	burst     float64

	mu     sync.Mutex
	tokens float64
	filled time.Time // when time was last paid for
}

// NewBudget returns a budget that is full: burst retries can be made at once.
func NewBudget(ratio, perSecond float64, burst int) *Budget {
	return &Budget{
		ratio:     ratio,
		perSecond: perSecond,
		burst:     float64(burst),
		tokens:    float64(burst),
		filled:    time.Now(),
	}
}

// First notes a first attempt.
func (b *Budget) First() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	b.tokens = min(b.burst, b.tokens+b.ratio)
}

// Retry takes a retry out of the budget, and reports whether there was one.
func (b *Budget) Retry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	// Shares such as 0.1 don't add up to exactly 1.
	if b.tokens < 1-1e-9 {
		return false
	}
	b.tokens = max(0, b.tokens-1)
	return true
}

// Tokens returns how many retries could be made now, with their fractions.
func (b *Budget) Tokens() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	return b.tokens
}

// fill pays for the time since it was last called. The caller holds mu.
func (b *Budget) fill() {
	now := time.Now()
	b.tokens = min(b.burst, b.tokens+b.perSecond*now.Sub(b.filled).Seconds())
	b.filled = now
}

// maxBudgets bounds what a process remembers of the hosts that it calls.
const maxBudgets = 1024

// budgets holds a budget for each key.
type budgets struct {
	newBudget func() *Budget
	mu        sync.Mutex
	byKey     map[string]*Budget
	rest      *Budget // shared by the keys that there is no room for
}

func newBudgets(newBudget func() *Budget) *budgets {
	return &budgets{newBudget: newBudget, byKey: make(map[string]*Budget), rest: newBudget()}
}

// of returns the key's budget.
func (b *budgets) of(key string) *Budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	if budget, ok := b.byKey[key]; ok {
		return budget
	}
	if len(b.byKey) >= maxBudgets {
		// Forgetting a full budget forgets nothing: a new one is full.
		for k, budget := range b.byKey {
			if budget.Tokens() >= budget.burst {
				delete(b.byKey, k)
			}
		}
	}
	if len(b.byKey) >= maxBudgets {
		return b.rest
	}
	budget := b.newBudget()
	b.byKey[key] = budget
	return budget
}

var budgetTokens = prometheus.NewDesc("retries_budget_tokens", "Retries that jobs of a kind could make now.", []string{"kind"}, nil)

// Describe implements [prometheus.Collector].
func (b *budgets) Describe(ch chan<- *prometheus.Desc) { ch <- budgetTokens }

// Collect implements [prometheus.Collector].
func (b *budgets) Collect(ch chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, budget := range b.byKey {
		ch <- prometheus.MustNewConstMetric(budgetTokens, prometheus.GaugeValue, budget.Tokens(), key)
	}
}

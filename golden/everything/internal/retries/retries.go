// Package retries decides whether and when what failed is tried again: jobs,
// through the job engine's own hooks, and outbound HTTP calls, through a
// [Transport]. Both wait with exponential backoff and full jitter, both stop at
// a cap, and both pay from a retry [Budget], so that a dependency that is down
// is not kept down by everyone trying again.
//
// It knows how to judge a failure, not what the work is. Where a job that was
// given up goes is not its business either.
package retries

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"example.com/orders/internal/setting"
)

// Config holds the caps and the budget of retries.
type Config struct {
	// MaxAttempts is how often a job is tried at most, the first time included.
	// A job that was enqueued with fewer keeps its own number.
	MaxAttempts int `env:"RETRIES_MAX_ATTEMPTS" envDefault:"10"`
	// MaxAge is how long after its first failure a job may still be tried again.
	MaxAge time.Duration `env:"RETRIES_MAX_AGE" envDefault:"24h"`
	// BaseDelay is the longest wait before a job's first retry; it doubles with
	// each failure.
	BaseDelay time.Duration `env:"RETRIES_BASE_DELAY" envDefault:"1s"`
	// MaxDelay is the longest wait between two attempts of a job.
	MaxDelay time.Duration `env:"RETRIES_MAX_DELAY" envDefault:"5m"`

	// BudgetRatio is how many retries each first attempt pays for: 0.2 means
	// that retries add at most a fifth to the load.
	BudgetRatio float64 `env:"RETRIES_BUDGET_RATIO" envDefault:"0.2"`
	// BudgetPerSecond is how many retries a second are free, so that a kind or
	// host with little traffic can be retried at all.
	BudgetPerSecond float64 `env:"RETRIES_BUDGET_PER_SECOND" envDefault:"1"`
	// BudgetBurst is how many retries can be saved up.
	BudgetBurst int `env:"RETRIES_BUDGET_BURST" envDefault:"10"`

	// HTTPAttempts is how often one outbound call is tried at most, the first
	// time included.
	HTTPAttempts int `env:"RETRIES_HTTP_ATTEMPTS" envDefault:"3"`
	// HTTPBaseDelay is the longest wait before the first retry of a call; it
	// doubles with each failure.
	HTTPBaseDelay time.Duration `env:"RETRIES_HTTP_BASE_DELAY" envDefault:"100ms"`
	// HTTPMaxDelay is the longest wait between two attempts of a call. An answer
	// whose Retry-After asks for longer is handed to the caller instead.
	HTTPMaxDelay time.Duration `env:"RETRIES_HTTP_MAX_DELAY" envDefault:"2s"`

	// WebhookHosts are the hosts that webhooks may be delivered to, each with
	// its port where it has one, as in hooks.example.com,localhost:9000. None
	// means that none is delivered.
	WebhookHosts []string `env:"RETRIES_WEBHOOK_HOSTS"`
	// WebhookTimeout bounds one delivery, its retries within the call included.
	WebhookTimeout time.Duration `env:"RETRIES_WEBHOOK_TIMEOUT" envDefault:"10s"`
}

// Validate reports a value that would leave retries without a bound.
func (c Config) Validate() error {
	const most = 366 * 24 * time.Hour
	errs := []error{
		setting.Between("RETRIES_MAX_ATTEMPTS", c.MaxAttempts, 1, math.MaxInt16),
		setting.Between("RETRIES_MAX_AGE", c.MaxAge, time.Millisecond, 100*most),
		setting.Between("RETRIES_BASE_DELAY", c.BaseDelay, time.Millisecond, most),
		setting.Between("RETRIES_MAX_DELAY", c.MaxDelay, time.Millisecond, most),
		setting.Within("RETRIES_BASE_DELAY", c.BaseDelay, "RETRIES_MAX_DELAY", c.MaxDelay, "the longest wait"),
		setting.Between("RETRIES_HTTP_ATTEMPTS", c.HTTPAttempts, 1, 100),
		setting.Between("RETRIES_HTTP_BASE_DELAY", c.HTTPBaseDelay, time.Millisecond, time.Hour),
		setting.Between("RETRIES_HTTP_MAX_DELAY", c.HTTPMaxDelay, time.Millisecond, time.Hour),
		setting.Within("RETRIES_HTTP_BASE_DELAY", c.HTTPBaseDelay, "RETRIES_HTTP_MAX_DELAY", c.HTTPMaxDelay, "the longest wait"),
		setting.Between("RETRIES_BUDGET_BURST", c.BudgetBurst, 1, math.MaxInt32),
		setting.Between("RETRIES_BUDGET_RATIO", c.BudgetRatio, 0, 1),
		setting.Between("RETRIES_BUDGET_PER_SECOND", c.BudgetPerSecond, 0, math.MaxInt32),
		setting.Check(c.BudgetRatio != 0 || c.BudgetPerSecond != 0,
			"RETRIES_BUDGET_RATIO=0: the budget would never fill again with RETRIES_BUDGET_PER_SECOND=0; set one of them"),
		setting.Between("RETRIES_WEBHOOK_TIMEOUT", c.WebhookTimeout, time.Millisecond, 24*time.Hour),
	}
	for _, host := range c.WebhookHosts {
		errs = append(errs, setting.Check(isHost(host),
			"RETRIES_WEBHOOK_HOSTS: %q must be a host, such as hooks.example.com or localhost:9000", host))
	}
	return errors.Join(errs...)
}

// A Policy says how often, for how long and with which waits something is
// tried again.
type Policy struct {
	// MaxAttempts includes the first.
	MaxAttempts int
	// MaxAge is counted from the first failure; 0 means no limit.
	MaxAge time.Duration
	// BaseDelay is the longest wait before the first retry.
	BaseDelay time.Duration
	// MaxDelay is the longest wait of all.
	MaxDelay time.Duration
}

// Delay returns how long to wait after the attempt of that number failed, the
// first being 1: a random share, from 0 to 1, of min(MaxDelay, BaseDelay ×
// 2^(attempt-1)). This is 'full jitter', which spreads the callers that failed
// together and needs the fewest calls in all: Marc Brooker, Exponential Backoff
// And Jitter, AWS Architecture Blog, 2015.
func (p Policy) Delay(attempt int, random float64) time.Duration {
	return time.Duration(random * float64(p.ceiling(attempt)))
}

// ceiling returns the longest wait after an attempt.
func (p Policy) ceiling(attempt int) time.Duration {
	delay := p.BaseDelay
	for range attempt - 1 {
		if delay >= p.MaxDelay-delay { // doubling would pass it, or overflow
			return p.MaxDelay
		}
		delay *= 2
	}
	return delay
}

// Retries holds what all retries of a process share. It is safe for concurrent
// use once it is set up.
type Retries struct {
	config   Config
	policies map[string]Policy
	kinds    *budgets
	hosts    *budgets
	random   func() float64
	metrics  metrics
}

// New returns retries without a policy of any kind's own. random returns
// numbers from 0 to 1, such as [math/rand/v2.Float64], and is called
// concurrently.
func New(config Config, random func() float64, registry prometheus.Registerer) (*Retries, error) {
	newBudget := func() *Budget {
		return NewBudget(config.BudgetRatio, config.BudgetPerSecond, config.BudgetBurst)
	}
	r := &Retries{
		config:   config,
		policies: make(map[string]Policy),
		kinds:    newBudgets(newBudget),
		hosts:    newBudgets(newBudget),
		random:   random,
		metrics:  newMetrics(),
	}
	for _, c := range []prometheus.Collector{
		r.metrics.jobFailures, r.metrics.jobDeferrals, r.metrics.httpCalls, r.metrics.httpStops, r.kinds,
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("retry metrics: %w", err)
		}
	}
	for _, attempt := range []string{attemptFirst, attemptRetry} {
		r.metrics.httpCalls.WithLabelValues(attempt)
	}
	for _, reason := range []string{stopAttempts, stopBudget, stopWait, stopUnsafe} {
		r.metrics.httpStops.WithLabelValues(reason)
	}
	return r, nil
}

// SetPolicy gives jobs of a kind a policy of their own. Call it before the jobs
// run.
func (r *Retries) SetPolicy(kind string, policy Policy) {
	r.policies[kind] = policy
}

// policy returns the policy of a kind of jobs.
func (r *Retries) policy(kind string) Policy {
	if p, ok := r.policies[kind]; ok {
		return p
	}
	return Policy{
		MaxAttempts: r.config.MaxAttempts,
		MaxAge:      r.config.MaxAge,
		BaseDelay:   r.config.BaseDelay,
		MaxDelay:    r.config.MaxDelay,
	}
}

type metrics struct {
	jobFailures  *prometheus.CounterVec
	jobDeferrals *prometheus.CounterVec
	httpCalls    *prometheus.CounterVec
	httpStops    *prometheus.CounterVec
}

func newMetrics() metrics {
	return metrics{
		jobFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "retries_job_failures_total",
			Help: "Attempts of jobs that failed, by what comes next: retry, or why the job was given up (permanent, attempts, age).",
		}, []string{"kind", "next"}),
		jobDeferrals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "retries_job_deferrals_total",
			Help: "Retries of jobs that were put off because their kind's retry budget was spent.",
		}, []string{"kind"}),
		httpCalls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "retries_http_calls_total",
			Help: "Outbound HTTP calls, by attempt: first or retry.",
		}, []string{"attempt"}),
		httpStops: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "retries_http_stops_total",
			Help: "Failed outbound HTTP calls that were not tried again, by why: attempts, budget, wait (Retry-After or deadline), unsafe (not idempotent).",
		}, []string{"reason"}),
	}
}

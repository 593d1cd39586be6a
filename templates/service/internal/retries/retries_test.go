package retries

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// defaults returns the configuration that an empty environment gives.
func defaults(t testing.TB) Config {
	t.Helper()
	config, err := env.ParseAsWithOptions[Config](env.Options{Environment: map[string]string{}})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func newRetries(t testing.TB, config Config) *Retries {
	t.Helper()
	r, err := New(config, rand.Float64, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	if err := defaults(t).Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesTheVariable(t *testing.T) {
	t.Parallel()
	for variable, breakIt := range map[string]func(*Config){
		"RETRIES_MAX_ATTEMPTS":      func(c *Config) { c.MaxAttempts = 0 },
		"RETRIES_MAX_AGE":           func(c *Config) { c.MaxAge = 0 },
		"RETRIES_BASE_DELAY":        func(c *Config) { c.BaseDelay = -1 },
		"RETRIES_MAX_DELAY":         func(c *Config) { c.MaxDelay = c.BaseDelay - 1 },
		"RETRIES_BUDGET_RATIO":      func(c *Config) { c.BudgetRatio = 1.5 },
		"RETRIES_BUDGET_PER_SECOND": func(c *Config) { c.BudgetRatio, c.BudgetPerSecond = 0, 0 },
		"RETRIES_BUDGET_BURST":      func(c *Config) { c.BudgetBurst = 0 },
		"RETRIES_HTTP_ATTEMPTS":     func(c *Config) { c.HTTPAttempts = 0 },
		"RETRIES_HTTP_BASE_DELAY":   func(c *Config) { c.HTTPBaseDelay = 0 },
		"RETRIES_HTTP_MAX_DELAY":    func(c *Config) { c.HTTPMaxDelay = 0 },
		"RETRIES_WEBHOOK_TIMEOUT":   func(c *Config) { c.WebhookTimeout = 0 },
	} {
		config := defaults(t)
		breakIt(&config)
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%s: %v, want the variable named", variable, err)
		}
	}
}

func TestWebhookHosts(t *testing.T) {
	t.Parallel()
	for host, ok := range map[string]bool{
		"hooks.example.com": true, "localhost:9000": true, "127.0.0.1:1": true, "[::1]:9000": true, "[::1]": true, "my_host": true,
		"": false, " a.example": false, "https://a.example": false, "a.example/": false, "a.example:": false, "a.example:x": false,
		"a.example:0": false, "a.example:65536": false, "me@a.example": false, "*.example.com": false, "a..b": false, "::1": false,
		"[::g]": false, "a.example?": false, ":80": false,
	} {
		config := defaults(t)
		config.WebhookHosts = []string{"first.example", host}
		err := config.Validate()
		if ok && err != nil || !ok && (err == nil || !strings.HasPrefix(err.Error(), "RETRIES_WEBHOOK_HOSTS: ")) {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// The wait never passes its ceiling, the ceiling doubles until the maximum, and
// no number of attempts overflows it.
func TestDelay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "base"))
		policy := Policy{
			BaseDelay: base,
			MaxDelay:  time.Duration(rapid.Int64Range(int64(base), int64(1<<62)).Draw(t, "max")),
		}
		attempt := rapid.IntRange(1, 1000).Draw(t, "attempt")
		ceiling := policy.ceiling(attempt)
		if attempt == 1 && ceiling != base {
			t.Fatalf("first ceiling %s, want the base %s", ceiling, base)
		}
		if after := policy.ceiling(attempt + 1); after != policy.MaxDelay && after != 2*ceiling {
			t.Fatalf("ceiling %s, then %s", ceiling, after)
		}
		random := rapid.Float64Range(0, 0.999).Draw(t, "random")
		if delay := policy.Delay(attempt, random); delay < 0 || delay > ceiling {
			t.Fatalf("delay %s is not within 0 and %s", delay, ceiling)
		}
	})
}

// Callers that failed together don't come back together: full jitter spreads
// them over the whole wait.
func TestDelaySpreads(t *testing.T) {
	t.Parallel()
	policy := Policy{BaseDelay: time.Second, MaxDelay: time.Minute}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's dice
	var tenths [10]int
	for range 10_000 {
		tenths[policy.Delay(4, random.Float64())*10/(8*time.Second)]++
	}
	for i, n := range tenths {
		if n < 800 || n > 1200 {
			t.Errorf("%d of 10,000 came back in tenth %d of the wait, want about 1,000", n, i)
		}
	}
}

func TestPermanent(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such account")
	err := fmt.Errorf("charge: %w", Permanent(cause))
	if !IsPermanent(err) || !errors.Is(err, cause) || err.Error() != "charge: no such account" {
		t.Errorf("%v: permanent %t, want the cause with the mark", err, IsPermanent(err))
	}
	if IsPermanent(cause) || IsPermanent(nil) || Permanent(nil) != nil {
		t.Error("an error that nobody marked is permanent")
	}
}

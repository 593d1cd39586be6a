package polling

import (
	"errors"
	"time"

	"example.com/orders/internal/setting"
)

// Config holds what one instance spends on callers who poll.
type Config struct {
	// MaxWait is the longest time that a long poll waits; a caller who asks for
	// more gets this. Keep it below the idle timeout of every proxy in front.
	MaxWait time.Duration `env:"POLLING_MAX_WAIT" envDefault:"30s"`
	// MaxWaiters is how many long polls wait at once; the next one is answered
	// at once. 0 turns waiting off. One costs about 60 KB.
	MaxWaiters int `env:"POLLING_MAX_WAITERS" envDefault:"10000"`
	// MaxKeyWaiters is how many of them wait for the same thing.
	MaxKeyWaiters int `env:"POLLING_MAX_KEY_WAITERS" envDefault:"5000"`
	// CheckInterval is how often the version of what is waited for is read, to
	// see what another instance changed. 0 is never.
	CheckInterval time.Duration `env:"POLLING_CHECK_INTERVAL" envDefault:"1s"`
	// MaxChecks is how many of these reads use the store at once.
	MaxChecks int `env:"POLLING_MAX_CHECKS" envDefault:"2"`
	// ReadTimeout is how long one read of the store may take.
	ReadTimeout time.Duration `env:"POLLING_READ_TIMEOUT" envDefault:"5s"`
	// WriteTimeout is how long it may take to write the answer to a long poll.
	// It is at most HTTP_CLOSE_TIMEOUT, or a stalled client holds up the shutdown.
	WriteTimeout time.Duration `env:"POLLING_WRITE_TIMEOUT" envDefault:"5s"`
	// Retry is when callers are told to ask again.
	Retry time.Duration `env:"POLLING_RETRY" envDefault:"5s"`
	// RetrySpread is the part of that which is added at most, by chance, so that
	// callers who began together don't stay together.
	RetrySpread float64 `env:"POLLING_RETRY_SPREAD" envDefault:"0.5"`
	// ReturnRate is how many callers a second are asked back of those who waited
	// and were all answered at one time.
	ReturnRate int `env:"POLLING_RETURN_RATE" envDefault:"2000"`
}

// Validate reports a value that can't be meant.
func (c Config) Validate() error {
	const most = time.Hour
	return errors.Join(
		setting.Between("POLLING_MAX_WAIT", c.MaxWait, time.Millisecond, most),
		setting.Between("POLLING_MAX_WAITERS", c.MaxWaiters, 0, 1<<24),
		setting.Between("POLLING_MAX_KEY_WAITERS", c.MaxKeyWaiters, 1, 1<<24),
		setting.Between("POLLING_CHECK_INTERVAL", c.CheckInterval, 0, most),
		setting.Check(c.CheckInterval == 0 || c.CheckInterval >= time.Millisecond, "POLLING_CHECK_INTERVAL=%s: must be 0 or at least 1ms", c.CheckInterval),
		setting.Between("POLLING_MAX_CHECKS", c.MaxChecks, 1, 1000),
		setting.Between("POLLING_READ_TIMEOUT", c.ReadTimeout, time.Millisecond, most),
		setting.Between("POLLING_WRITE_TIMEOUT", c.WriteTimeout, time.Millisecond, most),
		setting.Between("POLLING_RETRY", c.Retry, time.Millisecond, 24*time.Hour),
		setting.Between("POLLING_RETRY_SPREAD", c.RetrySpread, 0, 10),
		setting.Between("POLLING_RETURN_RATE", c.ReturnRate, 1, 1_000_000),
	)
}

package sse

import (
	"errors"
	"time"

	"example.com/orders/internal/setting"
)

// Config holds what one instance spends on its event streams.
type Config struct {
	// MaxClients is how many streams are open at once; the next one is answered
	// with 503. A stream costs about 40 KB.
	MaxClients int `env:"SSE_MAX_CLIENTS" envDefault:"10000"`
	// QueueEvents is how many events may wait for one client before it is taken
	// for slow and its stream is closed.
	QueueEvents int `env:"SSE_QUEUE_EVENTS" envDefault:"256"`
	// WindowEvents is how many past events, of all topics together, are kept for
	// clients that come back.
	WindowEvents int `env:"SSE_WINDOW_EVENTS" envDefault:"4096"`
	// WindowAge is how old a kept event becomes.
	WindowAge time.Duration `env:"SSE_WINDOW_AGE" envDefault:"5m"`
	// MaxEventBytes is the size of the largest event's data. The window takes at
	// most WindowEvents times this.
	MaxEventBytes int `env:"SSE_MAX_EVENT_BYTES" envDefault:"16384"`
	// Heartbeat is how often a stream shows that it is alive. Keep it below the
	// idle timeout of every proxy in front.
	Heartbeat time.Duration `env:"SSE_HEARTBEAT" envDefault:"15s"`
	// WriteTimeout is how long one write to a client may take. It is
	// at most HTTP_CLOSE_TIMEOUT, or a stalled client holds up the shutdown.
	WriteTimeout time.Duration `env:"SSE_WRITE_TIMEOUT" envDefault:"5s"`
	// MaxReplays is how many clients at once are given what has left the window out
	// of the log that the hub shares; the next one waits for its turn.
	MaxReplays int `env:"SSE_MAX_REPLAYS" envDefault:"64"`
	// Retry is how long a client is told to wait before it comes back.
	Retry time.Duration `env:"SSE_RETRY" envDefault:"1s"`
	// RetrySpread is added to Retry in part, by chance, so that the clients of
	// an instance that stops or dies don't all come back at one time.
	RetrySpread time.Duration `env:"SSE_RETRY_SPREAD" envDefault:"4s"`
}

// Validate reports a value with which no stream could work.
func (c Config) Validate() error {
	const most = 24 * time.Hour
	return errors.Join(
		setting.Positive("SSE_MAX_CLIENTS", c.MaxClients),
		setting.Between("SSE_QUEUE_EVENTS", c.QueueEvents, 1, 1<<20),
		setting.Between("SSE_WINDOW_EVENTS", c.WindowEvents, 1, 1<<24),
		setting.Between("SSE_MAX_EVENT_BYTES", c.MaxEventBytes, 1, 1<<30),
		setting.Between("SSE_WINDOW_AGE", c.WindowAge, time.Millisecond, 366*24*time.Hour),
		setting.Between("SSE_HEARTBEAT", c.Heartbeat, time.Millisecond, most),
		setting.Between("SSE_WRITE_TIMEOUT", c.WriteTimeout, time.Millisecond, most),
		setting.Between("SSE_MAX_REPLAYS", c.MaxReplays, 1, 1<<20),
		// More than any client should wait; both together don't overflow.
		setting.Between("SSE_RETRY", c.Retry, time.Millisecond, most),
		setting.Between("SSE_RETRY_SPREAD", c.RetrySpread, 0, most),
	)
}

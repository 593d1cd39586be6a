package websocket

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"example.com/orders/internal/setting"
)

// Config holds what one instance spends on its sockets.
type Config struct {
	// Origins are those besides the service's own whose pages may open a socket:
	// "https://app.example.com".
	Origins []string `env:"WEBSOCKET_ORIGINS"`
	// MaxClients is how many sockets are open at once; the next one is answered
	// with 503.
	MaxClients int `env:"WEBSOCKET_MAX_CLIENTS" envDefault:"10000"`
	// QueueMessages is how many messages may wait for one client before it is
	// taken for slow and its socket is closed.
	QueueMessages int `env:"WEBSOCKET_QUEUE_MESSAGES" envDefault:"256"`
	// WindowMessages is how many past messages, of all rooms together, are kept
	// for clients that come back.
	WindowMessages int `env:"WEBSOCKET_WINDOW_MESSAGES" envDefault:"4096"`
	// WindowAge is how old a kept message becomes.
	WindowAge time.Duration `env:"WEBSOCKET_WINDOW_AGE" envDefault:"5m"`
	// MaxMessageBytes is the size of the largest message, from a client and in a
	// room. The window takes at most WindowMessages times this.
	MaxMessageBytes int `env:"WEBSOCKET_MAX_MESSAGE_BYTES" envDefault:"16384"`
	// Rate is how many messages a second a client may send for long.
	Rate float64 `env:"WEBSOCKET_RATE" envDefault:"20"`
	// Burst is how many messages a client may send at once.
	Burst int `env:"WEBSOCKET_BURST" envDefault:"40"`
	// PingInterval is how often a client is asked whether it is alive. Keep it
	// below the idle timeout of every proxy in front.
	PingInterval time.Duration `env:"WEBSOCKET_PING_INTERVAL" envDefault:"15s"`
	// PongTimeout is how long it may take to answer.
	PongTimeout time.Duration `env:"WEBSOCKET_PONG_TIMEOUT" envDefault:"10s"`
	// WriteTimeout is how long one write to a client may take.
	WriteTimeout time.Duration `env:"WEBSOCKET_WRITE_TIMEOUT" envDefault:"5s"`
	// CloseTimeout is how long a socket's close handshake may take, and all
	// sockets' when the service stops; at most SHUTDOWN_TIMEOUT.
	CloseTimeout time.Duration `env:"WEBSOCKET_CLOSE_TIMEOUT" envDefault:"5s"`
	// MaxReplays is how many clients at once are given what has left the window out
	// of the log that the hub shares; the next one waits for its turn.
	MaxReplays int `env:"WEBSOCKET_MAX_REPLAYS" envDefault:"64"`
	// Retry is how long a client is told to wait before it comes back.
	Retry time.Duration `env:"WEBSOCKET_RETRY" envDefault:"1s"`
	// RetrySpread is added to Retry in part, by chance, so that the clients of
	// an instance that stops or dies don't all come back at one time.
	RetrySpread time.Duration `env:"WEBSOCKET_RETRY_SPREAD" envDefault:"4s"`
}

// Validate reports a value with which no socket could work.
func (c Config) Validate() error {
	const most = 24 * time.Hour
	_, originErr := c.protection()
	return errors.Join(
		originErr,
		setting.Positive("WEBSOCKET_MAX_CLIENTS", c.MaxClients),
		setting.Between("WEBSOCKET_QUEUE_MESSAGES", c.QueueMessages, 1, 1<<20),
		setting.Between("WEBSOCKET_WINDOW_MESSAGES", c.WindowMessages, 1, 1<<24),
		setting.Between("WEBSOCKET_WINDOW_AGE", c.WindowAge, time.Millisecond, 366*24*time.Hour),
		setting.Between("WEBSOCKET_MAX_MESSAGE_BYTES", c.MaxMessageBytes, 1, 1<<30),
		setting.Between("WEBSOCKET_RATE", c.Rate, 0.001, 1e6),
		setting.Between("WEBSOCKET_BURST", c.Burst, 1, 1<<20),
		setting.Between("WEBSOCKET_PING_INTERVAL", c.PingInterval, time.Millisecond, most),
		setting.Between("WEBSOCKET_PONG_TIMEOUT", c.PongTimeout, time.Millisecond, most),
		setting.Between("WEBSOCKET_WRITE_TIMEOUT", c.WriteTimeout, time.Millisecond, most),
		setting.Between("WEBSOCKET_CLOSE_TIMEOUT", c.CloseTimeout, time.Millisecond, most),
		setting.Between("WEBSOCKET_MAX_REPLAYS", c.MaxReplays, 1, 1<<20),
		// More than any client should wait; both together don't overflow.
		setting.Between("WEBSOCKET_RETRY", c.Retry, time.Millisecond, most),
		setting.Between("WEBSOCKET_RETRY_SPREAD", c.RetrySpread, 0, most),
	)
}

// protection tells whose pages may open a socket: those of this service and of
// the origins.
func (c Config) protection() (*http.CrossOriginProtection, error) {
	p := http.NewCrossOriginProtection()
	for _, origin := range c.Origins {
		if err := p.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("WEBSOCKET_ORIGINS=%s: must be origins such as https://app.example.com with commas between (%w)", origin, err)
		}
	}
	return p, nil
}

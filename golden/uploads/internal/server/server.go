// Package server owns the HTTP server around the service's routes: its limits
// and timeouts, request ids, the access log, metrics, traces, the health
// endpoints, and how it goes down.
//
// It knows no route but /healthz, /readyz and /metrics.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/setting"
)

// Config holds the limits of the HTTP server. A handler that streams moves its
// own deadlines with [http.ResponseController].
type Config struct {
	// Addr is the address to listen on; port 0 takes a free one.
	Addr string `env:"ADDR" envDefault:"localhost:8080"`
	// ReadHeaderTimeout is how long a client may take to send a header.
	ReadHeaderTimeout time.Duration `env:"HTTP_READ_HEADER_TIMEOUT" envDefault:"5s"`
	// ReadTimeout is how long a client may take to send a request. It is at most
	// CloseTimeout: an answer waits for the rest of its request, which a client may
	// never send.
	ReadTimeout time.Duration `env:"HTTP_READ_TIMEOUT" envDefault:"10s"`
	// WriteTimeout is how long an answer may take, from the end of the header.
	WriteTimeout time.Duration `env:"HTTP_WRITE_TIMEOUT" envDefault:"30s"`
	// IdleTimeout is how long a kept-alive connection may stay unused.
	IdleTimeout time.Duration `env:"HTTP_IDLE_TIMEOUT" envDefault:"2m"`
	// MaxBodyBytes is the size of the largest request body.
	MaxBodyBytes int64 `env:"HTTP_MAX_BODY_BYTES" envDefault:"1048576"`
	// CloseTimeout is how long open requests are waited for when the server
	// stops; at most SHUTDOWN_TIMEOUT.
	CloseTimeout time.Duration `env:"HTTP_CLOSE_TIMEOUT" envDefault:"12s"`
	// ReadyTimeout bounds the checks of one readiness probe.
	ReadyTimeout time.Duration `env:"READY_TIMEOUT" envDefault:"2s"`
}

// Validate reports an address that nothing can listen on, and a value that would
// leave the server without a limit.
func (c Config) Validate() error {
	const most = 24 * time.Hour
	_, port, err := net.SplitHostPort(c.Addr)
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port) // asks no server
	}
	return errors.Join(
		setting.Check(err == nil, "ADDR=%s: must be a host and a port such as localhost:8080 (%w)", c.Addr, err),
		setting.Between("HTTP_READ_HEADER_TIMEOUT", c.ReadHeaderTimeout, time.Millisecond, most),
		setting.Between("HTTP_READ_TIMEOUT", c.ReadTimeout, time.Millisecond, most),
		setting.Between("HTTP_WRITE_TIMEOUT", c.WriteTimeout, time.Millisecond, most),
		setting.Between("HTTP_IDLE_TIMEOUT", c.IdleTimeout, time.Millisecond, most),
		setting.Between("HTTP_CLOSE_TIMEOUT", c.CloseTimeout, time.Millisecond, most),
		setting.Between("READY_TIMEOUT", c.ReadyTimeout, time.Millisecond, most),
		setting.Between("HTTP_MAX_BODY_BYTES", c.MaxBodyBytes, 1, 1<<30), // it is held in memory
	)
}

// Deps are what the server works with. All but Outage are required.
type Deps struct {
	Log *slog.Logger
	// Metrics is what /metrics shows, with the server's own.
	Metrics *prometheus.Registry
	Tracing trace.TracerProvider
	// Ready is asked by /readyz for what is not ready, by name; [Handler] has no
	// /readyz, and does not ask.
	Ready func(context.Context) map[string]error
	// Outage tells which errors of handlers are answered with 503 rather than 500,
	// see [httpapi.Call].
	Outage func(error) bool
}

// A Server is listening from [New] on, and answers once [Server.Serve] runs.
type Server struct {
	http     *http.Server
	listener net.Listener
	timeout  time.Duration
}

// New mounts the health endpoints on mux and listens on the configured address.
func New(ctx context.Context, config Config, mux *http.ServeMux, deps Deps) (*Server, error) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		httpapi.WriteJSON(w, r, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.Handle("GET /readyz", readyz(deps.Ready, config.ReadyTimeout))
	mux.Handle("GET /metrics", promhttp.HandlerFor(deps.Metrics, promhttp.HandlerOpts{Registry: deps.Metrics}))

	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", config.Addr)
	if err != nil {
		return nil, fmt.Errorf("ADDR=%s: %w", config.Addr, err)
	}
	return &Server{
		http: &http.Server{
			Handler:           Handler(mux, config.MaxBodyBytes, deps),
			ReadHeaderTimeout: config.ReadHeaderTimeout,
			ReadTimeout:       config.ReadTimeout,
			WriteTimeout:      config.WriteTimeout,
			IdleTimeout:       config.IdleTimeout,
			ErrorLog:          slog.NewLogLogger(deps.Log.Handler(), slog.LevelWarn),
		},
		listener: listener,
		timeout:  config.CloseTimeout,
	}, nil
}

// Handler returns what answers the routes of mux, with all that every request
// gets: an id, a body of at most maxBody bytes, protection from pages of other
// origins, a line in the log, metrics and a span. What two handlers answer is counted
// in the same metrics.
func Handler(mux *http.ServeMux, maxBody int64, deps Deps) http.Handler {
	return otelhttp.NewHandler(
		observe(sameOrigin(problems(mux)), maxBody, deps, newMetrics(deps.Metrics)), "http.server",
		otelhttp.WithTracerProvider(deps.Tracing),
		otelhttp.WithPropagators(propagation.TraceContext{}),
	)
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() string {
	return s.listener.Addr().String()
}

// Serve answers requests until ctx is done. Then it takes no new ones and waits
// for those that are open; what is still open when its time is up is cut off,
// and said in the error.
func (s *Server) Serve(ctx context.Context) error {
	serving := make(chan error, 1)
	go func() { serving <- s.http.Serve(s.listener) }()
	select {
	case err := <-serving:
		return err
	case <-ctx.Done():
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	err := s.http.Shutdown(stopCtx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests still open after %s: %w", s.timeout, err), s.http.Close())
	}
	if serveErr := <-serving; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"example.com/base/internal/lifecycle"
	"example.com/base/internal/server"
	"example.com/base/internal/setting"
	"example.com/base/internal/telemetry"
)

// A host is what every part of the service is built on. Parts build on it when
// they start; while settings are read, there is only the mux and the metrics.
type host struct {
	stderr  io.Writer
	log     *slog.Logger
	metrics *prometheus.Registry
	tracing trace.TracerProvider
	mux     *http.ServeMux
	life    *lifecycle.Group
}

// A part is one piece of the service, in two steps. Its setup reads its
// settings, and does nothing else. Once the settings of all parts are right, the
// function that it returned starts it: builds it, mounts its routes on the mux,
// and registers with the lifecycle what has to run, drain and stop.
type part struct {
	name  string
	setup func(*settings) start
}

type start func(context.Context) error

// newApp returns an app with no part set up, which logs to stderr.
func newApp(stderr io.Writer) *App {
	return &App{host: host{stderr: stderr, metrics: telemetry.NewRegistry(), mux: http.NewServeMux()}}
}

// run reads the settings of all parts, starts the parts in order, says on stdout
// where the service listens, serves until ctx is done or a runner fails, and
// stops everything in reverse order. Where a part can't be started, those before
// it are stopped again.
func (a *App) run(ctx context.Context, getenv func(string) string, parts []part, stdout io.Writer) error {
	s := &settings{getenv: getenv}
	startHost := a.setupHost(s)
	parts = append(parts, part{"http", func(s *settings) start { return a.setupHTTP(s, stdout) }})
	starts := make([]start, 0, len(parts))
	for _, p := range parts {
		starts = append(starts, p.setup(s))
	}
	if err := s.err(); err != nil {
		return err
	}
	if err := startHost(ctx); err != nil {
		return err
	}
	for i, p := range parts {
		err := starts[i](ctx)
		if ctx.Err() != nil { // told to stop before it stood; the part may have been cut off
			a.log.InfoContext(ctx, "stopping", "starting", p.name, "error", err)
			return a.life.Stop(ctx)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", p.name, err), a.life.Stop(ctx))
		}
	}
	return a.life.Run(ctx)
}

// setupHost makes what the parts are built on.
func (a *App) setupHost(s *settings) start {
	telemetryConfig := loadConfig[telemetry.Config](s)
	lifecycleConfig := loadConfig[lifecycle.Config](s)
	return func(ctx context.Context) error {
		tracing, err := telemetry.NewTracing(ctx, name, telemetryConfig)
		if err != nil {
			return err
		}
		a.tracing = tracing
		a.log = telemetry.NewLogger(a.stderr, telemetryConfig)
		a.life = lifecycle.New(lifecycleConfig, a.log)
		a.life.OnStop("tracing", tracing.Shutdown)
		return nil
	}
}

func (a *App) setupHTTP(s *settings, stdout io.Writer) start {
	config := loadConfig[server.Config](s)
	life := loadConfig[lifecycle.Config](s)
	s.refuse(setting.Within("HTTP_CLOSE_TIMEOUT", config.CloseTimeout, "SHUTDOWN_TIMEOUT", life.ShutdownTimeout,
		"or open requests are cut off before their time"))
	return func(ctx context.Context) error {
		srv, err := server.New(ctx, config, a.mux, server.Deps{
			Log:     a.log,
			Metrics: a.metrics,
			Tracing: a.tracing,
			Ready:   a.life.Check,
		})
		if err != nil {
			return err
		}
		a.life.Go("http", srv.Serve)
		a.life.OnStart("http", func(context.Context) error {
			_, err := fmt.Fprintf(stdout, "%s listens on http://%s\n", name, srv.Addr())
			return err
		})
		return nil
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"example.com/orders/internal/lifecycle"
	"example.com/orders/internal/server"
	"example.com/orders/internal/setting"
	"example.com/orders/internal/telemetry"
)

// newApp returns an app with no part set up.
func newApp() *App {
	return &App{host: host{metrics: telemetry.NewRegistry(), mux: http.NewServeMux()}}
}

// run sets the parts up, says on stdout where the service listens, serves until
// ctx is done or a runner fails, and stops everything in reverse order. It logs to
// stderr.
func (a *App) run(ctx context.Context, getenv func(string) string, parts []part, stdout, stderr io.Writer) error {
	s := &settings{getenv: getenv}
	startHost := a.setupHost(s, stderr)
	parts = append(parts, part{"http", func(s *settings) start { return a.setupHTTP(s, stdout) }})
	if stopped, err := a.setup(ctx, s, startHost, parts); stopped || err != nil {
		return err
	}
	return a.life.Run(ctx)
}

// setupHost makes what the parts are built on.
func (a *App) setupHost(s *settings, stderr io.Writer) start {
	telemetryConfig := loadConfig[telemetry.Config](s)
	lifecycleConfig := loadConfig[lifecycle.Config](s)
	return func(ctx context.Context) error {
		tracing, err := telemetry.NewTracing(ctx, name, telemetryConfig)
		if err != nil {
			return err
		}
		a.tracing = tracing
		a.log = telemetry.NewLogger(stderr, telemetryConfig)
		a.life = lifecycle.New(lifecycleConfig, a.log)
		a.life.OnStop("tracing", tracing.Shutdown)
		return nil
	}
}

func (a *App) setupHTTP(s *settings, stdout io.Writer) start {
	config := loadConfig[server.Config](s)
	life := loadConfig[lifecycle.Config](s)
	s.refuseTogether(setting.Within("HTTP_READ_TIMEOUT", config.ReadTimeout, "HTTP_CLOSE_TIMEOUT", config.CloseTimeout,
		"or a client that does not send all of its request holds up the shutdown"))
	s.refuseTogether(setting.Within("HTTP_CLOSE_TIMEOUT", config.CloseTimeout, "SHUTDOWN_TIMEOUT", life.ShutdownTimeout,
		"or open requests are cut off before their time"))
	return func(ctx context.Context) error {
		srv, err := server.New(ctx, config, a.mux, server.Deps{
			Log:     a.log,
			Metrics: a.metrics,
			Tracing: a.tracing,
			Ready:   a.life.Check,
			Outage:  a.outage,
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

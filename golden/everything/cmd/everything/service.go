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

	"example.com/everything/internal/lifecycle"
	"example.com/everything/internal/server"
	"example.com/everything/internal/telemetry"
)

// A host is what every part of the service is built on.
type host struct {
	getenv  func(string) string
	log     *slog.Logger
	metrics *prometheus.Registry
	tracing trace.TracerProvider
	mux     *http.ServeMux
	life    *lifecycle.Group
}

// A part is one piece of the service. Its setup reads its configuration, builds
// it, mounts its routes on the mux, and registers with the lifecycle what has
// to run, drain and stop.
type part struct {
	name  string
	setup func(context.Context) error
}

// newApp returns an app with no part set up.
func newApp(ctx context.Context, getenv func(string) string, stderr io.Writer) (*App, error) {
	telemetryConfig, err := loadConfig[telemetry.Config](getenv)
	if err != nil {
		return nil, err
	}
	lifecycleConfig, err := loadConfig[lifecycle.Config](getenv)
	if err != nil {
		return nil, err
	}
	tracing, err := telemetry.NewTracing(ctx, name, telemetryConfig)
	if err != nil {
		return nil, err
	}
	log := telemetry.NewLogger(stderr, telemetryConfig)
	life := lifecycle.New(lifecycleConfig, log)
	life.OnStop("tracing", tracing.Shutdown)
	return &App{host: host{
		getenv:  getenv,
		log:     log,
		metrics: telemetry.NewRegistry(),
		tracing: tracing,
		mux:     http.NewServeMux(),
		life:    life,
	}}, nil
}

// run sets the parts up in order, says on stdout where the service listens,
// serves until ctx is done or a runner fails, and stops everything in reverse
// order. Where a part can't be set up, those before it are stopped again.
func (a *App) run(ctx context.Context, parts []part, stdout io.Writer) error {
	parts = append(parts, part{"http", func(ctx context.Context) error { return a.setupHTTP(ctx, stdout) }})
	for _, p := range parts {
		if err := p.setup(ctx); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", p.name, err), a.life.Stop(ctx))
		}
	}
	return a.life.Run(ctx)
}

func (a *App) setupHTTP(ctx context.Context, stdout io.Writer) error {
	config, err := loadConfig[server.Config](a.getenv)
	if err != nil {
		return err
	}
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

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"example.com/orders/internal/lifecycle"
)

// A host is what every part of the service is built on. Parts build on it when
// they start; while settings are read, there is only the mux and the metrics.
type host struct {
	log     *slog.Logger
	metrics *prometheus.Registry
	tracing trace.TracerProvider
	mux     *http.ServeMux
	life    *lifecycle.Group
	// outage, where a part has set it, tells which errors of handlers say that
	// something can't be used for now: they are answered with 503.
	outage func(error) bool
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

// setup reads the settings of all parts, starts the host and then the parts in
// order. Where a part can't be started, or ctx is done before all stand, those
// before it are stopped again; stopped says that it was ctx.
func (a *App) setup(ctx context.Context, s *settings, startHost start, parts []part) (stopped bool, err error) {
	starts := make([]start, 0, len(parts))
	for _, p := range parts {
		starts = append(starts, p.setup(s))
	}
	if err := s.err(); err != nil {
		return false, err
	}
	if err := startHost(ctx); err != nil {
		return false, err
	}
	for i, p := range parts {
		err := starts[i](ctx)
		if ctx.Err() != nil { // told to stop before it stood; the part may have been cut off
			a.log.InfoContext(ctx, "stopping", "starting", p.name, "error", err)
			return true, a.life.Stop(ctx)
		}
		if err != nil {
			return false, errors.Join(fmt.Errorf("%s: %w", p.name, err), a.life.Stop(ctx))
		}
	}
	return false, nil
}

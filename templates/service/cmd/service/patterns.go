package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/lifecycle"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/server"
)

// A Set is all patterns of this package, set up to work together in one process.
type Set struct {
	*App
	handler http.Handler
	cancel  context.CancelFunc
	done    chan struct{}
	err     error // once done is closed
	end     func() error
}

// A Route is a method and a path, with {id} for what a request chooses.
type Route struct{ Method, Path string }

// Colons returns the path as gin and echo write it, with :id for {id}.
func (r Route) Colons() string {
	return strings.NewReplacer("{", ":", "}", "").Replace(r.Path)
}

// otherDefaults are of settings that would clash with those of the program that
// the patterns are added to.
var otherDefaults = map[string]string{
	"DATABASE_MIGRATIONS_TABLE": "scaffold_migrations", // it may use goose, too
}

// maxBody is the size of the largest request body, in bytes.
const maxBody = 1 << 20

// New reads the settings by getenv, such as [os.Getenv], and sets all patterns
// up: it connects to what they need and brings the database's schema up to date.
// Nothing runs until [Set.Start]. The caller closes the set. Spans go to
// OpenTelemetry's global provider.
func New(ctx context.Context, getenv func(string) string, log *slog.Logger) (*Set, error) {
	app := &App{host: host{
		log:     log,
		metrics: prometheus.NewRegistry(),
		tracing: otel.GetTracerProvider(),
		mux:     http.NewServeMux(),
	}}
	s := &settings{getenv: func(variable string) string { return cmp.Or(getenv(variable), otherDefaults[variable]) }}
	config := loadConfig[lifecycle.Config](s)
	startHost := func(context.Context) error {
		app.life = lifecycle.New(config, log)
		return nil
	}
	stopped, err := app.setup(ctx, s, startHost, app.parts())
	if stopped {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		return nil, err
	}
	set := &Set{
		App:     app,
		handler: server.Handler(app.mux, maxBody, server.Deps{Log: log, Metrics: app.metrics, Tracing: app.tracing, Outage: app.outage}),
	}
	set.end = sync.OnceValue(set.stop)
	return set, nil
}

// Handler answers the routes of all patterns, by the whole path of a request:
// behind a prefix, put [http.StripPrefix] around it. Every request gets an id, a
// limit to its body, a line in the log, metrics and a span; every error is
// answered as problem details (RFC 9457). What a browser asks for a page of
// another origin, but for reading, is refused with 403.
func (s *Set) Handler() http.Handler { return s.handler }

// Metrics are those of the patterns, to be gathered beside your own.
func (s *Set) Metrics() prometheus.Gatherer { return s.metrics }

// Ready returns what is not ready to serve, by name, and why: for your readiness
// probe.
func (s *Set) Ready(ctx context.Context) map[string]error { return s.life.Check(ctx) }

// Start starts what the patterns do in the background. It ends when ctx does or
// [Set.Close] is called, or when a part fails, which is logged. It is called once,
// when your own code has registered with the parts what it has to, and before the
// first request. After an error the set is closed.
func (s *Set) Start(ctx context.Context) error {
	ctx, s.cancel = context.WithCancel(ctx)
	s.done = make(chan struct{})
	if s.err = s.life.Start(ctx); s.err != nil {
		s.cancel()
		close(s.done)
		return s.err
	}
	go func() {
		defer close(s.done)
		if s.err = s.life.Wait(ctx); s.err != nil {
			s.log.ErrorContext(ctx, "a pattern failed, and all have stopped", "service", name, "error", s.err)
		}
	}()
	return nil
}

// Close stops what [Set.Start] started, waits for it, and closes what [New]
// opened. Call it when no request is open any more.
func (s *Set) Close() error { return s.end() }

func (s *Set) stop() error {
	if s.cancel == nil {
		return s.life.Stop(context.Background())
	}
	s.cancel()
	<-s.done
	return s.err
}

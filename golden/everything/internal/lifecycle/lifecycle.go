// Package lifecycle owns what runs for as long as the service does: it calls
// starters, starts runners, notices when one fails, and on the way down drains
// and stops everything in the reverse of the order in which it was registered.
//
// It knows nothing of what it runs.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/orders/internal/setting"
)

// Config says how the service goes down.
type Config struct {
	// ShutdownDelay is how long the service goes on serving after its readiness
	// went off, so that load balancers take it out first. Behind Kubernetes, 5s
	// is a good start.
	ShutdownDelay time.Duration `env:"SHUTDOWN_DELAY" envDefault:"0s"`
	// ShutdownTimeout is how long everything together may take to stop after
	// that.
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"25s"`
}

// Validate reports a value that can't be meant.
func (c Config) Validate() error {
	return errors.Join(
		setting.Between("SHUTDOWN_DELAY", c.ShutdownDelay, 0, time.Hour),
		setting.Between("SHUTDOWN_TIMEOUT", c.ShutdownTimeout, time.Millisecond, 24*time.Hour),
	)
}

// A Group is the set of things that start and stop together. Register
// everything before [Group.Run]: the registering methods are not safe for
// concurrent use. [Group.Check] is.
type Group struct {
	ended    chan *member // runners that ended by themselves or were told to
	config   Config
	log      *slog.Logger
	members  []*member
	starts   []hook
	drains   []func()
	checks   []hook
	draining atomic.Bool
}

// A member is a runner or a closer.
type member struct {
	name string
	stop func(context.Context) error
	// Only a runner has these.
	run    func(context.Context) error
	cancel context.CancelFunc
	done   chan struct{}
	err    error // read after done is closed
}

// A hook is a starter or a readiness check.
type hook struct {
	name string
	run  func(context.Context) error
}

// New returns an empty group that reports to log.
func New(config Config, log *slog.Logger) *Group {
	return &Group{config: config, log: log}
}

// Go registers a runner, which [Group.Run] starts in a goroutine of its own.
// It must return when its context is done; when it returns earlier, with or
// without an error, the whole group stops.
func (g *Group) Go(name string, run func(context.Context) error) {
	g.members = append(g.members, &member{name: name, run: run, done: make(chan struct{})})
}

// OnStart registers a starter: what has to be done after everything is
// registered, and before the first runner starts. It must not stay; what it
// starts is stopped by a closer.
func (g *Group) OnStart(name string, start func(context.Context) error) {
	g.starts = append(g.starts, hook{name, start})
}

// OnStop registers a closer. It is called once everything that was registered
// after it has stopped, with a context that ends when the time to stop is up.
func (g *Group) OnStop(name string, stop func(context.Context) error) {
	g.members = append(g.members, &member{name: name, stop: stop})
}

// OnDrain registers a function that is called when the group begins to stop,
// before any runner is told: to end streams and release parked requests, which
// would otherwise hold the server open. It must not block.
func (g *Group) OnDrain(drain func()) {
	g.drains = append(g.drains, drain)
}

// OnReady registers a check that the service is ready to serve. It is called
// for each readiness probe, and must honour its context.
func (g *Group) OnReady(name string, run func(context.Context) error) {
	g.checks = append(g.checks, hook{name, run})
}

// ErrDraining is what [Group.Check] says while the group stops.
var ErrDraining = errors.New("draining")

// Check runs the readiness checks side by side, and returns the errors of those
// that don't pass by their names: none means ready.
func (g *Group) Check(ctx context.Context) map[string]error {
	if g.draining.Load() {
		return map[string]error{"service": ErrDraining}
	}
	errs := make([]error, len(g.checks))
	var wg sync.WaitGroup
	for i, c := range g.checks {
		wg.Go(func() { errs[i] = c.run(ctx) })
	}
	wg.Wait()
	failed := make(map[string]error)
	for i, err := range errs {
		if err != nil {
			failed[g.checks[i].name] = err
		}
	}
	return failed
}

// Run is [Group.Start] and [Group.Wait], but that the end of ctx while it starts is
// no error.
func (g *Group) Run(ctx context.Context) error {
	if stopped, err := g.start(ctx); stopped || err != nil {
		return err
	}
	return g.Wait(ctx)
}

// Start calls the starters and then starts the runners, each in the order in
// which they were registered. Where a starter fails, or ctx is done before the
// last, no runner is started, the group is stopped, and Start returns the reason
// with the errors of [Group.Stop]. A group that has started runs until Wait stops
// it.
func (g *Group) Start(ctx context.Context) error {
	stopped, err := g.start(ctx)
	if stopped {
		err = errors.Join(ctx.Err(), err)
	}
	return err
}

// start is Start, but tells that ctx was done beside the errors.
func (g *Group) start(ctx context.Context) (stopped bool, err error) {
	for _, s := range g.starts {
		err := ctx.Err()
		if err == nil {
			err = s.run(ctx)
		}
		if err != nil && ctx.Err() != nil {
			g.log.Info("stopping", "starting", s.name, "error", err)
			return true, g.Stop(ctx)
		}
		if err != nil {
			return false, errors.Join(fmt.Errorf("%s: %w", s.name, err), g.Stop(ctx))
		}
	}
	g.ended = make(chan *member, len(g.members))
	for _, m := range g.members {
		if m.run == nil {
			continue
		}
		// A runner is told to stop in its turn, not when ctx ends.
		runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		m.cancel = cancel
		go func() {
			defer close(m.done)
			m.err = runError(runCtx, m.run(runCtx))
			g.ended <- m
		}()
	}
	return false, nil
}

// Wait waits until ctx is done or a runner ends, and stops a group that was
// started. It returns the errors of the runners that ended before they were told,
// and those of [Group.Stop].
func (g *Group) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		g.log.Info("stopping")
	case m := <-g.ended:
		<-m.done
		g.log.Error("stopping, because a runner ended", "runner", m.name, "error", m.err)
	}
	return g.Stop(ctx)
}

// runError tells a runner that was told to stop from one that ended by itself.
func runError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() == nil && err == nil:
		return errors.New("ended before it was told to stop")
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return nil
	}
	return err
}

// Stop turns readiness off, waits for the shutdown delay, drains, and stops
// every member in reverse order. It uses ctx for its values only, and returns
// the members' errors. A member that doesn't stop in time is named in the error
// and left behind, so that those below it still close.
func (g *Group) Stop(ctx context.Context) error {
	g.draining.Store(true)
	if started := slices.ContainsFunc(g.members, func(m *member) bool { return m.cancel != nil }); started {
		time.Sleep(g.config.ShutdownDelay)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.config.ShutdownTimeout)
	defer cancel()
	for _, drain := range g.drains {
		drain()
	}
	var errs []error
	for _, m := range slices.Backward(g.members) {
		if err := m.end(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
		}
	}
	return errors.Join(errs...)
}

func (m *member) end(ctx context.Context) error {
	if m.stop != nil {
		return m.stop(ctx)
	}
	if m.cancel == nil {
		return nil // never started
	}
	m.cancel()
	select {
	case <-m.done:
		return m.err
	case <-ctx.Done():
		return fmt.Errorf("did not stop in time: %w", ctx.Err())
	}
}

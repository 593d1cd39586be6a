// Package synchronous owns work that a caller waits for: how much of it runs at
// once, how long it may take, and that it ends with its caller.
//
// It knows nothing of what the work is, and starts no goroutine.
package synchronous

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/setting"
)

// Config says how much work is taken on.
type Config struct {
	// MaxConcurrent is how many callers' work runs at once. There is no queue: the
	// next one is refused. By Little's law, it is the calls in a second times the
	// seconds that one takes.
	MaxConcurrent int `env:"SYNCHRONOUS_MAX_CONCURRENT" envDefault:"64"`
	// Timeout is how long the work of one caller may take in all.
	Timeout time.Duration `env:"SYNCHRONOUS_TIMEOUT" envDefault:"5s"`
	// RetryAfter is when a caller who was refused may come back; each is told up to
	// twice as long, so that they don't come back together.
	RetryAfter time.Duration `env:"SYNCHRONOUS_RETRY_AFTER" envDefault:"1s"`
}

// Validate reports a value that can't be meant.
func (c Config) Validate() error {
	const most = 24 * time.Hour
	return errors.Join(
		setting.Between("SYNCHRONOUS_MAX_CONCURRENT", c.MaxConcurrent, 1, 1_000_000),
		setting.Between("SYNCHRONOUS_TIMEOUT", c.Timeout, time.Millisecond, most),
		setting.Between("SYNCHRONOUS_RETRY_AFTER", c.RetryAfter, time.Second, time.Hour),
	)
}

var (
	// ErrFull means that the work was not begun: as much as may run at once does.
	ErrFull = errors.New("as much work runs as may at once")
	// ErrTimeout means that the work took longer than it may, and was told to end.
	ErrTimeout = errors.New("the work took longer than it may")
)

// A Gate lets callers' work in. It is safe for concurrent use.
type Gate struct {
	config  Config
	slots   chan struct{}
	tracer  trace.Tracer
	metrics metrics
}

// New returns a gate that is empty.
func New(config Config, registry prometheus.Registerer, tracing trace.TracerProvider) *Gate {
	g := &Gate{
		config: config,
		slots:  make(chan struct{}, config.MaxConcurrent),
		tracer: tracing.Tracer("synchronous"),
	}
	g.metrics = newMetrics(registry, func() float64 { return float64(len(g.slots)) }, config.MaxConcurrent)
	return g
}

// Expect lets the series of these works begin at 0: a rate does not see the first of
// what is not there before it.
func (g *Gate) Expect(names ...string) {
	for _, name := range names {
		g.metrics.seconds.WithLabelValues(name)
		for _, result := range results {
			g.metrics.work.WithLabelValues(name, result)
		}
	}
}

// Do runs work for the caller that ctx belongs to, unless as much runs as may: then
// it returns [ErrFull] at once. The context that work is given ends when the
// caller's does, and when its time is up, for which Do returns [ErrTimeout]. Both
// errors are a [httpapi.Problem] as well, 503 with Retry-After.
//
// work has to hand its context down to all that waits, the database first of all:
// Do waits for it to return, and its place is taken until then. So read the
// request's body before Do and write the answer after it, or a slow client takes
// the place of others. The name is one of few: it is a label of metrics.
func (g *Gate) Do(ctx context.Context, name string, work func(context.Context) error) (err error) {
	select {
	case g.slots <- struct{}{}:
	default:
		g.metrics.work.WithLabelValues(name, resultFull).Inc()
		return g.busy("As much is being worked on as can be; try again later.", ErrFull)
	}
	ctx, span := g.tracer.Start(ctx, "synchronous "+name)
	within, cancel := context.WithTimeoutCause(ctx, g.config.Timeout, ErrTimeout)
	start := time.Now()
	result := resultPanic
	defer func() {
		cancel()
		<-g.slots
		g.metrics.work.WithLabelValues(name, result).Inc()
		g.metrics.seconds.WithLabelValues(name).Observe(time.Since(start).Seconds())
		span.SetAttributes(attribute.String("result", result))
		if result != resultOK {
			span.SetStatus(codes.Error, result)
		}
		span.End()
	}()
	err = work(within)
	switch {
	case err == nil:
		result = resultOK
	case ctx.Err() != nil:
		result = resultCanceled
	case errors.Is(context.Cause(within), ErrTimeout):
		result = resultTimeout
		return g.busy("It took too long; try again later.", fmt.Errorf("%w: %w", ErrTimeout, err))
	default:
		result = resultError
	}
	return err
}

// busy is what a caller is told who may come back.
func (g *Gate) busy(detail string, err error) error {
	p := httpapi.NewProblem(http.StatusServiceUnavailable, detail)
	p.RetryAfter = g.config.RetryAfter + rand.N(g.config.RetryAfter) // #nosec G404 -- it only spreads callers
	return errors.Join(p, err)
}

// Share returns a context that ends after a share of the time that ctx has left,
// from 0 to 1: what is done with it leaves the rest of the time to what comes after
// it. A context without an end is returned as it is.
func Share(ctx context.Context, share float64) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(share*float64(time.Until(deadline))))
}

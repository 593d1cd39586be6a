// Package polling owns how things are polled over HTTP: conditional requests
// that cost no more than a look at the version, and long polls that wait for a
// change, in bounded numbers, and are all answered when the service stops.
//
// It knows neither what the things are nor who may see them: the handler that
// calls [Resource.Serve] names the key, and has let the caller in.
package polling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Source is a store of things that are polled, each by its key. Its errors are
// answered as those of any handler; [ErrNotFound] says that there is no such
// thing. It is used by many goroutines at once.
type Source interface {
	// Version returns the version of the thing, at little cost: it is called for
	// each poll, and once a check for each thing that is waited for.
	Version(ctx context.Context, key string) (Version, error)
	// Load returns the thing, which is answered as JSON, and the version that it
	// has. Where they can't be read at one time, read the version first, and
	// make versions weak: a thing that is newer than its tag is sent once too
	// often, one that is older stays with the caller.
	Load(ctx context.Context, key string) (Version, any, error)
}

// ErrNotFound means that a source has nothing under a key. Sources wrap it.
var ErrNotFound = errors.New("there is nothing under this key")

// A Version is what is known of a thing without loading it.
type Version struct {
	// Tag is another one whenever the thing is; it never comes back for other
	// content, not after a restart either.
	Tag string
	// Weak says that the same tag may stand for JSON that differs, though not in
	// what it means.
	Weak bool
	// Final says that the thing will not change any more: callers are not told
	// when to ask again, and nobody waits for it.
	Final bool
	// Retry is when to ask again; 0 is as the configuration says.
	Retry time.Duration
}

// A Poller has the long polls of one process. It is safe for concurrent use.
type Poller struct {
	config  Config
	log     *slog.Logger
	metrics metrics
	drained chan struct{}

	mu       sync.Mutex
	waiting  map[subject]map[*waiter]struct{}
	waiters  int
	draining bool
	// left is how many waited when the poller began to drain, for good.
	left int
}

// A subject is one thing that can be waited for.
type subject struct {
	resource *Resource
	key      string
}

// A waiter is a long poll. Its tag belongs to the poller's lock.
type waiter struct {
	subject subject
	wake    chan *load // has room for one
	tag     string     // of the version that the caller has
	known   bool       // the tag has been read
}

// New returns a poller with nothing to poll. [Poller.Run] looks for changes of
// other instances.
func New(config Config, log *slog.Logger, registry prometheus.Registerer) *Poller {
	return &Poller{
		config:  config,
		log:     log,
		metrics: newMetrics(registry),
		drained: make(chan struct{}),
		waiting: make(map[subject]map[*waiter]struct{}),
	}
}

// A Resource is one kind of things that are polled.
type Resource struct {
	poller *Poller
	source Source
}

// Resource returns the things of source, to be polled.
func (p *Poller) Resource(source Source) *Resource {
	return &Resource{poller: p, source: source}
}

// Changed answers those who wait for the thing. Call it when the change can be
// read: after the commit. It does not wait for them, and costs nothing where
// there are none.
func (r *Resource) Changed(key string) {
	r.poller.release(subject{r, key}, func(*waiter) bool { return true })
}

// Drain answers all who wait, and lets no one wait any more. It does not wait for
// the answers to be written: the HTTP server does.
func (p *Poller) Drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.draining {
		p.draining = true
		p.left = p.waiters
		close(p.drained)
	}
}

// enter makes room for a waiter, or says why there is none. It is entered before
// the version is read, so that no change falls in between.
func (p *Poller) enter(s subject) (w *waiter, refused string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.draining:
		return nil, resultDrained
	case p.waiters >= p.config.MaxWaiters, len(p.waiting[s]) >= p.config.MaxKeyWaiters:
		return nil, resultFull
	}
	w = &waiter{subject: s, wake: make(chan *load, 1)}
	if p.waiting[s] == nil {
		p.waiting[s] = make(map[*waiter]struct{})
	}
	p.waiting[s][w] = struct{}{}
	p.waiters++
	p.metrics.waiters.Set(float64(p.waiters))
	return w, ""
}

func (p *Poller) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting[w.subject], w)
	if len(p.waiting[w.subject]) == 0 {
		delete(p.waiting, w.subject)
	}
	p.waiters--
	p.metrics.waiters.Set(float64(p.waiters))
}

// has notes the version that a waiter waits to be over.
func (p *Poller) has(w *waiter, tag string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.tag, w.known = tag, true
}

// release wakes those of a subject's waiters for whom it is meant. All of them
// share one load, which the first one to wake does.
func (p *Poller) release(s subject, meant func(*waiter) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &load{done: make(chan struct{}), err: errUnfinished}
	for w := range p.waiting[s] {
		if meant(w) {
			l.released++
		}
	}
	if l.released == 0 {
		return
	}
	for w := range p.waiting[s] {
		if !meant(w) {
			continue
		}
		select {
		case <-w.wake: // an older load, which w has not come to
		default:
		}
		w.wake <- l
	}
}

// Run reads the versions of what is waited for, each interval, until ctx is done,
// and wakes those who wait for one that has changed. Only this sees a change that
// nobody told [Resource.Changed] here, such as one of another instance.
func (p *Poller) Run(ctx context.Context) error {
	if p.config.CheckInterval == 0 {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(p.config.CheckInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		begin := time.Now()
		p.check(ctx)
		p.metrics.round.Set(time.Since(begin).Seconds())
	}
}

// check reads each version once, however many wait for it, and a few at a time:
// where there are too many for one interval, the round takes longer.
func (p *Poller) check(ctx context.Context) {
	p.mu.Lock()
	subjects := make([]subject, 0, len(p.waiting))
	for s := range p.waiting {
		subjects = append(subjects, s)
	}
	p.mu.Unlock()

	var (
		next    atomic.Int64
		failed  atomic.Int64
		example atomic.Pointer[error]
		readers sync.WaitGroup
	)
	for range min(p.config.MaxChecks, len(subjects)) {
		readers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(subjects) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := p.checkOne(ctx, subjects[i]); err != nil && ctx.Err() == nil {
					failed.Add(1)
					example.Store(&err)
				}
			}
		})
	}
	readers.Wait()
	if n := failed.Load(); n > 0 {
		p.log.WarnContext(ctx, "long polls: versions can't be read, those who wait see no change", "versions", n, "error", *example.Load())
	}
}

func (p *Poller) checkOne(ctx context.Context, s subject) error {
	version, err := s.resource.version(ctx, s.key, readCheck)
	switch {
	case errors.Is(err, ErrNotFound): // any more; the load will say so
		p.release(s, func(w *waiter) bool { return w.known })
		return nil
	case err != nil:
		return err
	}
	p.release(s, func(w *waiter) bool { return w.known && w.tag != version.Tag })
	return nil
}

func (r *Resource) version(ctx context.Context, key, read string) (Version, error) {
	ctx, cancel := context.WithTimeout(ctx, r.poller.config.ReadTimeout)
	defer cancel()
	version, err := r.source.Version(ctx, key)
	r.count(read, err)
	return version, err
}

func (r *Resource) count(read string, err error) {
	result := "ok"
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, context.Canceled) {
		result = "error"
	}
	r.poller.metrics.reads.WithLabelValues(read, result).Inc()
}

// A state is a thing as it is answered, encoded once for all who get it.
type state struct {
	version Version
	etag    string
	body    []byte
}

func (r *Resource) load(ctx context.Context, key string) (*state, error) {
	ctx, cancel := context.WithTimeout(ctx, r.poller.config.ReadTimeout)
	defer cancel()
	version, value, err := r.source.Load(ctx, key)
	r.count(readLoad, err)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return &state{version, version.etag(), append(body, '\n')}, nil
}

// A load is the state that waiters who were released together share.
type load struct {
	released int
	begun    atomic.Bool
	done     chan struct{}
	state    *state // once done
	err      error  // once done
}

var errUnfinished = errors.New("the load was not finished")

// get returns the state, which the first to ask for it loads, also for the
// others: so it does not end when that caller goes away.
func (l *load) get(ctx context.Context, r *Resource, key string) (*state, error) {
	if l.begun.CompareAndSwap(false, true) {
		func() {
			defer close(l.done) // also when the source panics
			l.state, l.err = r.load(context.WithoutCancel(ctx), key)
		}()
	}
	select {
	case <-l.done:
		return l.state, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Package sse owns server-sent events: who listens to which topic, what each
// client may still be owed when it comes back, and how a stream is written.
//
// It knows neither what the events mean nor who may read a topic: the handler
// that calls [Hub.Stream] names the topics, and has let the caller in.
package sse

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// A Hub hands each event to the clients that listen to its topic. It is safe
// for concurrent use.
//
// Publishing never waits for a client: each has a bounded queue, and one whose
// queue is full is closed. It comes back with the id of its last event, and is
// given what it missed.
type Hub struct {
	config  Config
	log     *slog.Logger
	metrics metrics
	tracer  trace.Tracer
	drain   chan struct{}
	record  record
	replays chan struct{} // has something in it for each that reads the record

	mu       sync.Mutex
	epoch    string
	seq      uint64 // of the last event that reached this hub
	window   window
	topics   map[string]map[*client]struct{}
	open     int
	draining bool
}

// A record is where events get their order, and where those that have left the
// window can still be read.
type record interface {
	// publish stores an event and returns its sequence.
	publish(context.Context, Event) (uint64, error)
	// holds reports whether the record has come as far as seq.
	holds(ctx context.Context, seq uint64) (bool, error)
	// read calls yield with the events of topics after one sequence, up to and
	// including another; errExpired says that some of them are gone.
	read(ctx context.Context, topics []string, after, upTo uint64, yield func(*frame) error) error
}

var (
	errExpired = errors.New("outside of the window")
	errBroken  = errors.New("the order of events has broken off")
	errTurn    = errors.New("the turn is over")
)

// New returns a hub that keeps its events in memory: their ids are of no use to
// another instance, nor after a restart, and are told apart by their epoch.
func New(config Config, log *slog.Logger, registry prometheus.Registerer, tracing trace.TracerProvider) *Hub {
	h := &Hub{
		config:  config,
		log:     log,
		metrics: newMetrics(registry),
		tracer:  tracing.Tracer("sse"),
		drain:   make(chan struct{}),
		replays: make(chan struct{}, config.MaxReplays),
		epoch:   strings.ToLower(rand.Text()[:10]),
		window:  newWindow(config.WindowEvents, config.WindowAge),
		topics:  make(map[string]map[*client]struct{}),
	}
	h.record = memory{h}
	return h
}

// memory is the record of a hub on its own: it has nothing but the window.
type memory struct{ hub *Hub }

func (m memory) publish(_ context.Context, e Event) (uint64, error) {
	m.hub.mu.Lock()
	defer m.hub.mu.Unlock()
	seq := m.hub.seq + 1
	m.hub.deliver(seq, time.Now(), e)
	return seq, nil
}

func (memory) holds(context.Context, uint64) (bool, error) { return false, nil }

func (memory) read(context.Context, []string, uint64, uint64, func(*frame) error) error {
	return errExpired
}

// Publish sends an event to the clients of its topic and returns its id. It
// fails with [ErrTooLarge] or [ErrType] for an event that can't be sent.
func (h *Hub) Publish(ctx context.Context, e Event) (string, error) {
	if err := e.validate(h.config.MaxEventBytes); err != nil {
		return "", err
	}
	seq, err := h.record.publish(ctx, e)
	if err != nil {
		return "", err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return position{h.epoch, seq}.String(), nil
}

// deliver puts an event in the window and in the queues of those who listen to
// it. The caller holds h.mu, so that events arrive everywhere in one order.
func (h *Hub) deliver(seq uint64, at time.Time, e Event) {
	h.seq = seq
	f := h.frame(seq, at, e)
	h.window.expire(time.Now())
	h.window.add(f)
	h.metrics.published.Inc()
	for c := range h.topics[e.Topic] {
		if !c.offer(f, h.config.QueueEvents) {
			h.leave(c)
		}
	}
}

// frame encodes an event. The caller holds h.mu.
func (h *Hub) frame(seq uint64, at time.Time, e Event) *frame {
	return &frame{seq: seq, at: at, topic: e.Topic, wire: encode(position{h.epoch, seq}, e.Type, e.Data)}
}

// Drain ends every stream with a hint when to come back, and refuses new ones.
// It does not wait for the streams: the HTTP server does.
func (h *Hub) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.draining {
		h.draining = true
		close(h.drain)
	}
}

// admit counts a new stream in, or says why not.
func (h *Hub) admit() (refused string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.draining:
		refused = refuseDraining
	case h.open >= h.config.MaxClients:
		refused = refuseFull
	default:
		h.open++
		h.metrics.clients.Set(float64(h.open))
		return ""
	}
	h.metrics.refused.WithLabelValues(refused).Inc()
	return refused
}

// dismiss is the end of a stream that was admitted.
func (h *Hub) dismiss(c *client, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leave(c)
	h.open--
	h.metrics.clients.Set(float64(h.open))
	h.metrics.ended.WithLabelValues(reason).Inc()
}

// leave takes c off its topics. The caller holds h.mu.
func (h *Hub) leave(c *client) {
	for topic := range c.topics {
		delete(h.topics[topic], c)
		if len(h.topics[topic]) == 0 {
			delete(h.topics, topic)
		}
	}
}

// position returns where the hub stands.
func (h *Hub) position() position {
	h.mu.Lock()
	defer h.mu.Unlock()
	return position{h.epoch, h.seq}
}

// catchUp returns the next events of the window that c is owed, at most as many
// as frames has room for, and moves c on. Once there are none left it enters c
// for those to come, in the same step, so that none falls in between. It fails
// with errExpired where the window no longer reaches back to c.
func (h *Hub) catchUp(c *client, frames []*frame) (_ []*frame, live bool, floor uint64, _ error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.at.epoch != h.epoch {
		return nil, false, 0, errBroken
	}
	h.window.expire(time.Now())
	if c.at.seq < h.window.floor {
		return nil, false, h.window.floor, errExpired
	}
	frames, seen, end := h.window.after(c.at.seq, c.topics, frames[:0], scanEvents)
	c.at.seq = seen
	if end && len(frames) == 0 {
		// Other topics may have moved the hub further, and a client of an
		// instance that is ahead of this one may itself be further.
		c.at.seq = max(c.at.seq, h.seq)
		c.after = c.at.seq // no one else has c yet
		for topic := range c.topics {
			if h.topics[topic] == nil {
				h.topics[topic] = make(map[*client]struct{})
			}
			h.topics[topic][c] = struct{}{}
		}
		return nil, true, 0, nil
	}
	return frames, false, 0, nil
}

// scanEvents bounds how long one client that catches up keeps the hub.
const scanEvents = 512

// idle returns the position that c has come to, for a heartbeat: the hub's own,
// unless events still wait for c.
func (h *Hub) idle(c *client) position {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 && c.ended == "" && c.at.epoch == h.epoch {
		c.at.seq = max(c.at.seq, h.seq)
	}
	return c.at
}

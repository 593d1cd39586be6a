// Package websocket owns sockets to clients: who is in which room, what each
// client may still be owed when it comes back, how a socket is read, written and
// closed, and who may open one.
//
// It knows neither what the messages mean nor who may enter a room: the handler
// that calls [Hub.Serve] names the room, and has let the caller in.
package websocket

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// A Hub hands each message to the clients in its room. It is safe for
// concurrent use.
//
// Publishing never waits for a client: each has a bounded queue, and one whose
// queue is full is closed. It comes back with its resume token, and is given
// what it missed.
type Hub struct {
	config     Config
	log        *slog.Logger
	metrics    metrics
	tracer     trace.Tracer
	protection *http.CrossOriginProtection
	drain      chan struct{}
	record     record
	replays    chan struct{} // has something in it for each that reads the record
	pool       *pool

	mu       sync.Mutex
	epoch    string
	seq      uint64 // of the last message that reached this hub
	window   window
	rooms    map[string]map[*client]struct{}
	sockets  map[*socket]struct{}
	draining bool
	cut      bool
}

// A pool is what sockets share that count towards one limit.
type pool struct {
	open  sync.WaitGroup
	count atomic.Int64
}

// A record is where messages get their order, and where those that have left
// the window can still be read.
type record interface {
	// publish stores a message, whose data is encoded, and returns its sequence.
	publish(ctx context.Context, m Message, data []byte) (uint64, error)
	// holds reports whether the record has come as far as seq.
	holds(ctx context.Context, seq uint64) (bool, error)
	// read calls yield with the messages of a room after one sequence, up to and
	// including another; errExpired says that some of them are gone.
	read(ctx context.Context, room string, after, upTo uint64, yield func(*frame) error) error
}

var (
	errExpired = errors.New("outside of the window")
	errBroken  = errors.New("the order of messages has broken off")
	errTurn    = errors.New("the turn is over")
)

// New returns a hub that keeps its messages in memory: their ids are of no use
// to another instance, nor after a restart, and are told apart by their epoch.
// It fails with what [Config.Validate] says of the origins.
func New(config Config, log *slog.Logger, registry prometheus.Registerer, tracing trace.TracerProvider) (*Hub, error) {
	protection, err := config.protection()
	if err != nil {
		return nil, err
	}
	h := &Hub{
		config:     config,
		log:        log,
		metrics:    newMetrics(registry),
		tracer:     tracing.Tracer("websocket"),
		protection: protection,
		drain:      make(chan struct{}),
		replays:    make(chan struct{}, config.MaxReplays),
		pool:       new(pool),
		epoch:      strings.ToLower(rand.Text()[:10]),
		window:     newWindow(config.WindowMessages, config.WindowAge),
		rooms:      make(map[string]map[*client]struct{}),
		sockets:    make(map[*socket]struct{}),
	}
	h.record = memory{h}
	return h, nil
}

// memory is the record of a hub on its own: it has nothing but the window.
type memory struct{ hub *Hub }

func (m memory) publish(_ context.Context, msg Message, data []byte) (uint64, error) {
	m.hub.mu.Lock()
	defer m.hub.mu.Unlock()
	seq := m.hub.seq + 1
	m.hub.deliver(seq, time.Now(), msg, data)
	return seq, nil
}

func (memory) holds(context.Context, uint64) (bool, error) { return false, nil }

func (memory) read(context.Context, string, uint64, uint64, func(*frame) error) error {
	return errExpired
}

// Publish sends a message to the clients in its room and returns its id. It
// fails with [ErrTooLarge] or [ErrInvalid] for one that can't be sent.
func (h *Hub) Publish(ctx context.Context, m Message) (string, error) {
	data, err := m.encode(h.config.MaxMessageBytes)
	if err != nil {
		return "", err
	}
	seq, err := h.record.publish(ctx, m, data)
	if err != nil {
		return "", err
	}
	return position{h.position().epoch, seq}.String(), nil
}

// deliver puts a message in the window and in the queues of those in its room.
// The caller holds h.mu, so that messages arrive everywhere in one order.
func (h *Hub) deliver(seq uint64, at time.Time, m Message, data []byte) {
	h.seq = seq
	f := newFrame(position{h.epoch, seq}, at, m, data)
	h.window.expire(time.Now())
	h.window.add(f)
	h.metrics.published.Inc()
	for c := range h.rooms[m.Room] {
		if !c.offer(f, h.config.QueueMessages) {
			h.leave(c)
		}
	}
}

// Drain has every socket closed with the code 1012, and refuses new ones. It
// does not wait; sockets that are still open after the close timeout are cut.
func (h *Hub) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return
	}
	h.draining = true
	close(h.drain)
	time.AfterFunc(h.config.CloseTimeout, h.cutAll)
}

// Close drains the hub and waits until every socket is closed, which the HTTP
// server does not: it knows nothing of connections that were upgraded. It fails
// where ctx ends before that.
func (h *Hub) Close(ctx context.Context) error {
	h.Drain()
	closed := make(chan struct{})
	go func() { h.pool.open.Wait(); close(closed) }()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
	}
	h.cutAll()
	return fmt.Errorf("%d sockets still open: %w", h.pool.count.Load(), ctx.Err())
}

func (h *Hub) cutAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut = true
	if len(h.sockets) > 0 {
		h.log.Info("sockets: the time to close is up", "cut", len(h.sockets))
	}
	for s := range h.sockets {
		s.cut()
	}
}

// admit counts a new socket in, or says why not.
func (h *Hub) admit(s *socket) (refused string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return refuseDraining
	}
	if h.pool.count.Add(1) > int64(h.config.MaxClients) {
		h.pool.count.Add(-1)
		return refuseFull
	}
	h.sockets[s] = struct{}{}
	h.pool.open.Add(1)
	h.metrics.clients.Inc()
	return ""
}

// dismiss is the end of a socket that was admitted.
func (h *Hub) dismiss(s *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leave(s.client)
	delete(h.sockets, s)
	h.pool.count.Add(-1)
	h.pool.open.Done()
	h.metrics.clients.Dec()
}

// leave takes c out of its room. The caller holds h.mu.
func (h *Hub) leave(c *client) {
	delete(h.rooms[c.room], c)
	if len(h.rooms[c.room]) == 0 {
		delete(h.rooms, c.room)
	}
}

// position returns where the hub stands.
func (h *Hub) position() position {
	h.mu.Lock()
	defer h.mu.Unlock()
	return position{h.epoch, h.seq}
}

// retry returns how long a client should wait, different for each.
func (h *Hub) retry() time.Duration {
	return h.config.Retry + mathrand.N(h.config.RetrySpread+1) //nolint:gosec // spreads load, keeps no secret
}

// catchUp returns the next messages of the window that c is owed, at most as
// many as frames has room for, and moves c on. Once there are none left it lets c
// into the room for those to come, in the same step, so that none falls in
// between. It fails with errExpired where the window no longer reaches back to c.
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
	frames, seen, end := h.window.after(c.at.seq, c.room, frames[:0], scanMessages)
	c.at.seq = seen
	if !end || len(frames) > 0 {
		return frames, false, 0, nil
	}
	// Other rooms may have moved the hub further, and a client of an instance
	// that is ahead of this one may itself be further.
	c.at.seq = max(c.at.seq, h.seq)
	c.mu.Lock()
	c.after = c.at.seq
	c.mu.Unlock()
	if h.rooms[c.room] == nil {
		h.rooms[c.room] = make(map[*client]struct{})
	}
	h.rooms[c.room][c] = struct{}{}
	return nil, true, 0, nil
}

// scanMessages bounds how long one client that catches up keeps the hub.
const scanMessages = 512

// idle returns the position that c has come to: the hub's own, unless messages
// still wait for c.
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

package sse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// A Log is a record of events that all instances share and that outlives them.
// With one, an event that is published on one instance reaches the clients of
// all, and a client can resume on any of them.
type Log interface {
	// State tells what the log holds.
	State(context.Context) (LogState, error)
	// Append stores an event and returns its sequence.
	Append(context.Context, Event) (uint64, error)
	// Follow calls deliver with every event after a sequence, in order, until
	// ctx is done. It returns earlier when it can't go on from there.
	Follow(ctx context.Context, after uint64, deliver func(Record)) error
	// Read calls yield with the stored events after one sequence, up to and
	// including another; those of the topics, or all without topics.
	Read(ctx context.Context, after, upTo uint64, topics []string, yield func(Record) error) error
}

// A LogState is what a log holds: the events from First to Last, First being
// Last+1 where there are none. Sequences of different epochs have nothing to do
// with each other.
type LogState struct {
	Epoch       string
	First, Last uint64
}

// A Record is an event as a log has it. The sequences of a log have no gaps.
type Record struct {
	Seq  uint64
	Time time.Time
	Event
}

// Share makes the hub one of several on a log, and fills its window from there.
// Call it before the first stream, and have [Hub.Follow] run from then on.
func (h *Hub) Share(ctx context.Context, log Log) error {
	h.record = shared{hub: h, log: log}
	return h.attach(ctx, log)
}

// Follow has the events of the log delivered to the hub's clients, until ctx is
// done. Where events were lost on the way, it ends all streams: the clients come
// back, and get from the log what they miss, or a reset.
func (h *Hub) Follow(ctx context.Context) error {
	s, ok := h.record.(shared)
	if !ok {
		return errors.New("the hub shares no log: call Share first")
	}
	for {
		err := s.log.Follow(ctx, h.position().seq, s.deliver)
		for ctx.Err() == nil && err != nil {
			h.log.WarnContext(ctx, "event streams: the log broke off", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			err = h.attach(ctx, s.log)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// attach brings the hub to the end of the log, unless it can go on from where
// it is.
func (h *Hub) attach(ctx context.Context, log Log) error {
	state, err := log.State(ctx)
	if err != nil {
		return err
	}
	at := h.position()
	if at.epoch == state.Epoch && state.First <= at.seq+1 && at.seq <= state.Last {
		return nil
	}
	floor := state.First - 1
	if n := uint64(h.config.WindowEvents); state.Last > floor+n { //nolint:gosec // is more than 0
		floor = state.Last - n
	}
	// The log is read before the hub is locked: it may take its time, and
	// nobody but the caller of attach moves a hub that shares a log.
	var frames []*frame
	err = log.Read(ctx, floor, state.Last, nil, func(r Record) error {
		if r.validate(h.config.MaxEventBytes) == nil {
			wire := encode(position{state.Epoch, r.Seq}, r.Type, r.Data)
			frames = append(frames, &frame{seq: r.Seq, at: r.Time, topic: r.Topic, wire: wire})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fill the window: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.breakOff()
	h.epoch, h.seq = state.Epoch, state.Last
	h.window.reset(floor)
	for _, f := range frames {
		h.window.add(f)
	}
	return nil
}

// breakOff ends all streams. The caller holds h.mu.
func (h *Hub) breakOff() {
	for _, clients := range h.topics {
		for c := range clients {
			c.end(endBroken)
		}
	}
	clear(h.topics)
}

// shared is the record of a hub that shares a log.
type shared struct {
	hub *Hub
	log Log
}

func (s shared) publish(ctx context.Context, e Event) (uint64, error) {
	return s.log.Append(ctx, e)
}

func (s shared) deliver(r Record) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Seq <= h.seq {
		return
	}
	if r.Seq != h.seq+1 { // the limits of the log were faster than this instance
		h.breakOff()
		h.window.reset(r.Seq - 1)
	}
	if err := r.validate(h.config.MaxEventBytes); err != nil {
		h.seq = r.Seq
		h.metrics.leftOut.Inc()
		h.log.Debug("event streams: an event of the log is left out", "topic", r.Topic, "seq", r.Seq, "error", err)
		return
	}
	h.deliver(r.Seq, r.Time, r.Event)
}

func (s shared) holds(ctx context.Context, seq uint64) (bool, error) {
	state, err := s.log.State(ctx)
	return state.Epoch == s.hub.position().epoch && seq <= state.Last, err
}

func (s shared) read(ctx context.Context, topics []string, after, upTo uint64, yield func(*frame) error) error {
	epoch := s.hub.position().epoch
	if err := s.reachesTo(ctx, epoch, after); err != nil {
		return err
	}
	err := s.log.Read(ctx, after, upTo, topics, func(r Record) error {
		if r.validate(s.hub.config.MaxEventBytes) != nil {
			return nil
		}
		return yield(&frame{seq: r.Seq, wire: encode(position{epoch, r.Seq}, r.Type, r.Data)})
	})
	if err != nil && !errors.Is(err, errTurn) {
		return err
	}
	// The limits may have taken some away before they were read.
	return cmp.Or(s.reachesTo(ctx, epoch, after), err)
}

// reachesTo reports whether the log still has every event after a sequence.
func (s shared) reachesTo(ctx context.Context, epoch string, after uint64) error {
	state, err := s.log.State(ctx)
	if err == nil && (state.Epoch != epoch || state.First > after+1) {
		err = errExpired
	}
	return err
}

// reset forgets everything up to and including floor.
func (w *window) reset(floor uint64) {
	clear(w.ring)
	w.start, w.count, w.floor = 0, 0, floor
}

// end gives the client up: its stream closes, and it comes back for what it
// missed.
func (c *client) end(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(reason)
}

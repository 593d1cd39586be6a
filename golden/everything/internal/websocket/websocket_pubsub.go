package websocket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// A Log is a record of messages that all instances share and that outlives
// them. With one, a message that is published on one instance reaches the
// clients of all, and a client can resume on any of them.
type Log interface {
	// State tells what the log holds.
	State(context.Context) (LogState, error)
	// Append stores a message and returns its sequence.
	Append(context.Context, Message) (uint64, error)
	// Follow calls deliver with every message after a sequence, in order, until
	// ctx is done. It returns earlier when it can't go on from there.
	Follow(ctx context.Context, after uint64, deliver func(Record)) error
	// Read calls yield with the stored messages after one sequence, up to and
	// including another; those of the room, or all where that is "".
	Read(ctx context.Context, after, upTo uint64, room string, yield func(Record) error) error
}

// A LogState is what a log holds: the messages from First to Last, First being
// Last+1 where there are none. Sequences of different epochs have nothing to do
// with each other.
type LogState struct {
	Epoch       string
	First, Last uint64
}

// A Record is a message as a log has it. The sequences of a log have no gaps.
type Record struct {
	Seq  uint64
	Time time.Time
	Message
}

// Share makes the hub one of several on a log, and fills its window from there.
// Call it before the first socket, and have [Hub.Follow] run from then on.
func (h *Hub) Share(ctx context.Context, log Log) error {
	h.record = shared{hub: h, log: log}
	return h.attach(ctx, log)
}

// Follow has the messages of the log delivered to the hub's clients, until ctx
// is done. Where messages were lost on the way, it has all sockets closed: the
// clients come back, and get from the log what they miss, or a reset.
func (h *Hub) Follow(ctx context.Context) error {
	s, ok := h.record.(shared)
	if !ok {
		return errors.New("the hub shares no log: call Share first")
	}
	for {
		err := s.log.Follow(ctx, h.position().seq, s.deliver)
		for ctx.Err() == nil && err != nil {
			h.log.WarnContext(ctx, "sockets: the log broke off", "error", err)
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
	if n := uint64(h.config.WindowMessages); state.Last > floor+n { //nolint:gosec // is more than 0
		floor = state.Last - n
	}
	// The log is read before the hub is locked: it may take its time, and
	// nobody but the caller of attach moves a hub that shares a log.
	var frames []*frame
	err = log.Read(ctx, floor, state.Last, "", func(r Record) error {
		if f := h.frame(state.Epoch, r); f != nil {
			frames = append(frames, f)
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

// frame returns the frame of a message of the log, nil for one that no client
// gets: other parts may use the log too.
func (h *Hub) frame(epoch string, r Record) *frame {
	data, err := r.encode(h.config.MaxMessageBytes)
	if err != nil {
		return nil
	}
	return newFrame(position{epoch, r.Seq}, r.Time, r.Message, data)
}

// breakOff has all sockets closed. The caller holds h.mu.
func (h *Hub) breakOff() {
	for _, clients := range h.rooms {
		for c := range clients {
			c.end(endBroken)
		}
	}
	clear(h.rooms)
}

// shared is the record of a hub that shares a log.
type shared struct {
	hub *Hub
	log Log
}

func (s shared) publish(ctx context.Context, m Message, data []byte) (uint64, error) {
	m.Data = data
	return s.log.Append(ctx, m)
}

func (s shared) deliver(r Record) {
	data, err := r.encode(s.hub.config.MaxMessageBytes)
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
	if err != nil {
		h.seq = r.Seq
		h.metrics.leftOut.Inc()
		h.log.Debug("sockets: a message of the log is left out", "room", r.Room, "seq", r.Seq, "error", err)
		return
	}
	h.deliver(r.Seq, r.Time, r.Message, data)
}

func (s shared) holds(ctx context.Context, seq uint64) (bool, error) {
	state, err := s.log.State(ctx)
	return state.Epoch == s.hub.position().epoch && seq <= state.Last, err
}

func (s shared) read(ctx context.Context, room string, after, upTo uint64, yield func(*frame) error) error {
	epoch := s.hub.position().epoch
	if err := s.reachesTo(ctx, epoch, after); err != nil {
		return err
	}
	err := s.log.Read(ctx, after, upTo, room, func(r Record) error {
		if f := s.hub.frame(epoch, r); f != nil {
			return yield(f)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errTurn) {
		return err
	}
	// The limits may have taken some away before they were read.
	return cmp.Or(s.reachesTo(ctx, epoch, after), err)
}

// reachesTo reports whether the log still has every message after a sequence.
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
	w.start, w.count, w.bytes, w.floor = 0, 0, 0, floor
}

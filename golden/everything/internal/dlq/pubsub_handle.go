package dlq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"example.com/orders/internal/pubsub"
)

// A Handler works on a message for a group of consumers. It may be called again
// with a message that it has dealt with.
type Handler func(context.Context, pubsub.Delivery) error

// Handle registers a group's handler and returns it with the dead letters behind
// it, for [pubsub.Bus.ConsumeUntilHandled]. A message becomes a dead letter after
// DLQ_STREAM_ATTEMPTS, at once when its error has a method Permanent that returns
// true, and when its consumers died with it as often. A panic is an error. Call
// it before anything runs.
//
// While the database is down, the handler is called with what was not tried often
// enough, dead letter or not, so that deliveries are calls; what was, waits with
// its cause.
func (s *Streams) Handle(group string, handle Handler) Handler {
	s.handlers[group] = handle
	s.queue.Expect(s.Name(), group)
	return func(ctx context.Context, d pubsub.Delivery) error {
		if d.Attempt > 1 && s.wasBuried(ctx, group, d) {
			s.unburied.take(group, d)
			return nil // it was not acknowledged then
		}
		if l, ok := s.unburied.take(group, d); ok {
			return s.bury(ctx, l)
		}
		l := streamLetter{group: group, message: d.Message, attempts: s.config.StreamAttempts, cause: errAbandoned.Error()}
		if d.Attempt <= uint64(s.config.StreamAttempts) { //nolint:gosec // is more than 0
			stack, err := try(ctx, handle, d)
			if err == nil {
				return nil
			}
			if ctx.Err() != nil { // the service stops: that's not the message's fault
				return err
			}
			if d.Attempt < uint64(s.config.StreamAttempts) && !isPermanent(err) { //nolint:gosec // is more than 0
				return &laterError{err, s.rest(d.Attempt)}
			}
			l.attempts, l.cause, l.stack = int(d.Attempt), printable(err.Error()), printable(stack) //nolint:gosec // fits
		}
		l.diedAt = time.Now()
		return s.bury(ctx, l)
	}
}

var errAbandoned = errors.New("its last error is not known: its consumer died, stopped or took too long, or stopped before it could write down why")

// A laterError says when to deliver a message again.
type laterError struct {
	error
	after time.Duration
}

// Unwrap returns the error itself.
func (e *laterError) Unwrap() error { return e.error }

// RetryAfter is what the bus asks for.
func (e *laterError) RetryAfter() time.Duration { return e.after }

// rest returns how long a message rests after a number of attempts.
func (s *Streams) rest(attempts uint64) time.Duration {
	d := s.config.StreamBackoff
	for ; attempts > 1 && d < maxStreamBackoff; attempts-- {
		d *= 2
	}
	return min(d, maxStreamBackoff)
}

// wasBuried reports whether the message is known to have been a dead letter.
func (s *Streams) wasBuried(ctx context.Context, group string, d pubsub.Delivery) bool {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	buried, err := s.store.buried(ctx, group, seqOf(d.Message), d.Time)
	if err != nil {
		s.log.ErrorContext(ctx, "is a message a dead letter? It is taken for none", "group", group, "seq", d.Seq, "error", err)
	}
	return err == nil && buried
}

func (s *Streams) bury(ctx context.Context, l streamLetter) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	key, fresh, err := s.store.bury(ctx, l)
	if err != nil { // it stays in the stream, and is delivered again
		s.unburied.put(l)
		return &laterError{fmt.Errorf("dead letter of %s: %w; its cause: %s", l.group, err, l.cause), s.rest(1)}
	}
	if fresh {
		s.queue.Died(ctx, s.Name(), l.group, key, l.cause)
	}
	return nil
}

// unburied keeps the letters that the database did not take, so that they are
// not without their cause when it does. What another instance buries instead
// stays here until there are too many.
type unburied struct {
	mu      sync.Mutex
	letters map[place]streamLetter
}

// A place is what tells one group's message from all others.
type place struct {
	group    string
	seq      uint64
	storedAt int64
}

// maxUnburied bounds the memory for letters. One that is dropped is without its
// cause, and no more.
const maxUnburied = 1000

func (u *unburied) put(l streamLetter) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.letters == nil {
		u.letters = make(map[place]streamLetter)
	}
	for p := range u.letters {
		if len(u.letters) < maxUnburied {
			break
		}
		delete(u.letters, p)
	}
	l.message.Data = nil // the delivery brings it along
	u.letters[place{l.group, l.message.Seq, l.message.Time.UnixNano()}] = l
}

// take removes the letter of a delivery, and returns it with its message.
func (u *unburied) take(group string, d pubsub.Delivery) (streamLetter, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := place{group, d.Seq, d.Time.UnixNano()}
	l, ok := u.letters[p]
	delete(u.letters, p)
	l.message = d.Message
	return l, ok
}

// try calls the handler, and makes an error of its panic, with the stack.
func try(ctx context.Context, handle Handler, d pubsub.Delivery) (stack string, err error) {
	defer func() {
		if v := recover(); v != nil {
			stack, err = string(debug.Stack()), fmt.Errorf("panic: %v", v)
		}
	}()
	return "", handle(ctx, d)
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// printable makes text that a database takes: PostgreSQL refuses zeros and what
// is no UTF-8.
func printable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func seqOf(m pubsub.Message) int64 {
	return int64(min(m.Seq, math.MaxInt64)) //nolint:gosec // fits
}

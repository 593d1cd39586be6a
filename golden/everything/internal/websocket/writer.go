package websocket

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/coder/websocket"
)

// welcome tells the client where it stands. It returns what becomes of its
// resume token, "" where it has none.
func (s *socket) welcome(ctx context.Context, token string) (result, ended string) {
	s.client.at = s.hub.position()
	hello := note{Type: typeWelcome, ID: s.client.at.String(), RetryMS: s.hub.retry().Milliseconds()}
	if token == "" {
		return "", s.writeNote(hello)
	}
	last, ok := parsePosition(token)
	ok = ok && last.epoch == s.client.at.epoch
	if ok && last.seq > s.client.at.seq {
		// The client was with an instance that is ahead of this one, unless its
		// token is made up.
		var err error
		if ok, err = s.hub.record.holds(ctx, last.seq); err != nil {
			return "", s.broken(ctx, err)
		}
	}
	if !ok {
		// It stays at the position it was greeted with: what is said after the
		// welcome reaches it.
		if ended = s.writeNote(hello); ended == "" {
			ended = s.writeNote(note{Type: typeReset, ID: hello.ID, Reason: resumeUnknown})
		}
		return resumeUnknown, ended
	}
	s.client.at = last
	hello.ID = last.String()
	return resumeReplayed, s.writeNote(hello)
}

func (s *socket) broken(ctx context.Context, err error) string {
	if s.interrupted() == "" {
		s.hub.log.WarnContext(ctx, "socket: missed messages can't be read", "error", err)
	}
	return endBroken
}

// catchUp writes what the client has missed, until nothing is left and it is in
// the room for what comes. It writes in small steps: a long replay takes no more
// memory than a short one.
func (s *socket) catchUp(ctx context.Context, result *string) (ended string) {
	frames := make([]*frame, 0, 32)
	for {
		if ended := s.interrupted(); ended != "" {
			return ended
		}
		step, live, floor, err := s.hub.catchUp(s.client, frames)
		switch {
		case errors.Is(err, errExpired):
			ended = s.replay(ctx, floor, result)
		case err != nil:
			ended = endBroken
		case live:
			return ""
		default:
			ended = s.writeFrames(step)
		}
		if ended != "" {
			return ended
		}
	}
}

// replay writes what has left the window out of the record, up to floor or until its
// turn is over. Where the record no longer has it, the client is moved to where the
// hub stands.
func (s *socket) replay(ctx context.Context, floor uint64, result *string) (ended string) {
	select {
	case s.hub.replays <- struct{}{}:
	case <-s.read:
		return s.client.endedBy(endGone)
	case <-s.hub.drain:
		return endDrained
	}
	ended, err := s.readRecord(ctx, floor)
	switch {
	case ended != "", errors.Is(err, errTurn):
		return ended
	case errors.Is(err, errExpired):
		if *result != "" {
			*result = resumeExpired
		}
		s.client.at = s.hub.position()
		return s.writeNote(note{Type: typeReset, ID: s.client.at.String(), Reason: resumeExpired})
	case err != nil:
		return s.broken(ctx, err)
	}
	s.client.at.seq = floor
	return ""
}

// replayTurn is how long one client reads the record while others wait for it: one
// that reads slowly holds them up no longer than for that and one write.
const replayTurn = time.Second

// readRecord writes what the record has after the client's position, and gives the
// turn back. It says why the socket ended meanwhile, if it did.
func (s *socket) readRecord(ctx context.Context, floor uint64) (ended string, err error) {
	defer func() { <-s.hub.replays }()
	ctx, span := s.hub.tracer.Start(ctx, "websocket.replay")
	defer span.End()
	begin := time.Now()
	err = s.hub.record.read(ctx, s.client.room, s.client.at.seq, floor, func(f *frame) error {
		if ended = s.interrupted(); ended == "" {
			ended = s.writeFrames([]*frame{f})
		}
		switch {
		case ended != "":
			return errBroken
		case time.Since(begin) > replayTurn:
			return errTurn
		}
		return nil
	})
	return ended, err
}

func (s *socket) interrupted() (ended string) {
	select {
	case <-s.hub.drain:
		return endDrained
	default:
		return s.client.endedBy("")
	}
}

// live writes what arrives in the client's queue, and asks now and then whether
// the client is alive.
func (s *socket) live(ctx context.Context) (ended string) {
	ping := time.NewTicker(s.hub.config.PingInterval)
	defer ping.Stop()
	asking := make(chan struct{}, 1) // one ping at a time
	var frames []*frame
	for ended == "" {
		select {
		case <-s.hub.drain:
			// What is in the queue is still sent: it was there first.
			frames, ended = s.empty(frames)
			if ended == "" {
				ended = endDrained
			}
		case <-s.client.wake:
			frames, ended = s.empty(frames)
		case <-ping.C:
			// The position keeps the client near the end although its room is
			// quiet, or other rooms would push it out of the window.
			if at := s.hub.idle(s.client); at != s.told {
				ended = s.writeNote(note{Type: typePosition, ID: at.String()})
			}
			s.ask(ctx, asking)
		}
	}
	return ended
}

// ask sends a ping, and has the socket closed where it is not answered in time.
func (s *socket) ask(ctx context.Context, asking chan struct{}) {
	select {
	case asking <- struct{}{}:
	default:
		return // the last one is still under way
	}
	s.also.Go(func() {
		defer func() { <-asking }()
		// It ends with the connection: a context that ends while the ping is
		// written would cut that.
		answered, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.hub.config.PongTimeout)
		defer cancel()
		if err := s.conn.Ping(answered); errors.Is(err, context.DeadlineExceeded) {
			s.client.end(endSilent)
		}
	})
}

// empty writes what is in the client's queue. What it returns is for its next
// call.
func (s *socket) empty(spare []*frame) (_ []*frame, ended string) {
	frames, ended := s.client.take(spare)
	if ended == "" && len(frames) > 0 {
		s.hub.metrics.waiting.Observe(float64(len(frames)))
		ended = s.writeFrames(frames)
	}
	return frames, ended
}

func (s *socket) writeFrames(frames []*frame) (ended string) {
	messages := 0
	for _, f := range frames {
		if ended := s.write(f.wire); ended != "" {
			return ended
		}
		if f.seq > 0 {
			s.client.at.seq = f.seq
			s.told = s.client.at
			messages++
		}
	}
	s.hub.metrics.sent.Add(float64(messages))
	return ""
}

func (s *socket) writeNote(n note) (ended string) {
	if n.ID != "" {
		s.told = s.client.at
	}
	return s.write(n.encode())
}

// write writes one frame within the write timeout. The deadline is of the
// connection: the answers to the client's own pings have it too, until the next.
func (s *socket) write(wire []byte) (ended string) {
	err := s.raw.SetWriteDeadline(time.Now().Add(s.hub.config.WriteTimeout))
	if err == nil {
		err = s.conn.Write(context.Background(), websocket.MessageText, wire) //nolint:contextcheck // the deadline bounds it
	}
	if err == nil {
		err = s.raw.SetWriteDeadline(time.Time{})
	}
	switch {
	case err == nil:
		return ""
	case errors.Is(err, os.ErrDeadlineExceeded):
		return endStalled
	case errors.Is(err, net.ErrClosed):
		// Closed by what was read, which is also what knows why.
		s.stop()
		<-s.read
	}
	return endGone
}

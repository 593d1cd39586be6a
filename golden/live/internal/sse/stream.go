package sse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"time"

	"example.com/orders/internal/httpapi"
)

// Stream answers the request with the events of the topics, from now on or,
// where the request names the last event that the client has, from there on. It
// returns when the client has gone away, was too slow, or the hub drains. It
// returns a [httpapi.Problem] where the stream can't be opened.
//
// The last event is named by the Last-Event-ID header, which EventSource sends
// when it reconnects, or by the parameter last_event_id, for a page that opens
// a new EventSource. Where not everything since can be given, the client gets
// an event "reset" first: it has to read anew what it shows.
func (h *Hub) Stream(w http.ResponseWriter, r *http.Request, topics ...string) error {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back to fill its buffer
	if r.Method == http.MethodHead {
		return nil
	}
	// The server's write timeout is for whole answers, and this one has no end: each
	// write gets a deadline of its own.
	control := http.NewResponseController(w)
	if err := control.SetWriteDeadline(time.Now().Add(h.config.WriteTimeout)); err != nil {
		return fmt.Errorf("event stream: move the write deadline: %w", err)
	}
	if refused := h.admit(); refused != "" {
		header.Del("Cache-Control")
		header.Del("X-Accel-Buffering")
		problem := httpapi.NewProblem(http.StatusServiceUnavailable, "No event stream is free; try again later.")
		problem.RetryAfter = h.retry()
		return problem
	}
	c := &client{topics: make(map[string]bool, len(topics)), wake: make(chan struct{}, 1)}
	for _, topic := range topics {
		c.topics[topic] = true
	}
	s := &stream{hub: h, client: c, w: w, control: control}
	h.dismiss(c, s.run(r.Context(), lastEventID(r)))
	return nil
}

func lastEventID(r *http.Request) string {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return id
	}
	return r.URL.Query().Get("last_event_id")
}

// retry returns how long a client should wait, different for each.
func (h *Hub) retry() time.Duration {
	return h.config.Retry + rand.N(h.config.RetrySpread+1) //nolint:gosec // spreads load, keeps no secret
}

// A stream writes to one client. It is used by one goroutine.
type stream struct {
	hub     *Hub
	client  *client
	w       http.ResponseWriter
	control *http.ResponseController
}

// run writes the stream until it ends, and returns why it did.
func (s *stream) run(ctx context.Context, lastID string) string {
	result, ended := s.open(ctx, lastID)
	if ended == "" {
		// The first write waits for the rest of the request. Where that did not come in
		// time the request is over, and its end still waits for it: for as long as the
		// server's read timeout lets it, which is lifted only now.
		ended = s.interrupted(ctx)
	}
	if ended == "" {
		ended = writeEnded(s.control.SetReadDeadline(time.Time{}))
	}
	if ended == "" {
		ended = s.catchUp(ctx, &result)
	}
	if result != "" {
		s.hub.metrics.resumed.WithLabelValues(result).Inc()
	}
	if ended == "" {
		ended = s.live(ctx)
	}
	if ended == endDrained {
		_ = s.write(encodeRetry(s.hub.retry())) // it is over one way or the other
	}
	return ended
}

// open tells the client where it stands. It returns what becomes of its last
// event id, "" where it has named none.
func (s *stream) open(ctx context.Context, lastID string) (result, ended string) {
	s.client.at = s.hub.position()
	hint := encodeRetry(s.hub.retry())
	if lastID == "" {
		return "", s.write(hint, encodeID(s.client.at))
	}
	last, ok := parsePosition(lastID)
	ok = ok && last.epoch == s.client.at.epoch
	if ok && last.seq > s.client.at.seq {
		// The client was with an instance that is ahead of this one, unless its
		// id is made up.
		var err error
		if ok, err = s.hub.record.holds(ctx, last.seq); err != nil {
			return "", s.broken(ctx, err)
		}
	}
	if !ok {
		return resumeUnknown, s.write(hint, s.reset(resumeUnknown))
	}
	s.client.at = last
	return resumeReplayed, s.write(hint)
}

// reset moves the client to where the hub stands.
func (s *stream) reset(reason string) []byte {
	s.client.at = s.hub.position()
	return encode(s.client.at, typeReset, []byte(`{"reason":"`+reason+`"}`))
}

func (s *stream) broken(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return endGone
	}
	s.hub.log.WarnContext(ctx, "event stream: missed events can't be read", "error", err)
	return endBroken
}

// catchUp writes what the client has missed, until nothing is left and it is
// entered for what comes. It writes in small steps: a long replay takes no more
// memory than a short one.
func (s *stream) catchUp(ctx context.Context, result *string) (ended string) {
	frames := make([]*frame, 0, 32)
	for {
		if ended := s.interrupted(ctx); ended != "" {
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
// turn is over, or resets the client where the record no longer has it either.
func (s *stream) replay(ctx context.Context, floor uint64, result *string) (ended string) {
	select {
	case s.hub.replays <- struct{}{}:
	case <-ctx.Done():
		return endGone
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
		return s.write(s.reset(resumeExpired))
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
// turn back. It says why the stream ended meanwhile, if it did.
func (s *stream) readRecord(ctx context.Context, floor uint64) (ended string, err error) {
	defer func() { <-s.hub.replays }()
	ctx, span := s.hub.tracer.Start(ctx, "sse.replay")
	defer span.End()
	begin := time.Now()
	topics := slices.Sorted(maps.Keys(s.client.topics))
	err = s.hub.record.read(ctx, topics, s.client.at.seq, floor, func(f *frame) error {
		if ended = s.interrupted(ctx); ended == "" {
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

func (s *stream) interrupted(ctx context.Context) (ended string) {
	select {
	case <-ctx.Done():
		return endGone
	case <-s.hub.drain:
		return endDrained
	default:
		return ""
	}
}

// live writes what arrives in the client's queue, and a heartbeat when nothing
// does for a while.
func (s *stream) live(ctx context.Context) (ended string) {
	heartbeat := time.NewTimer(s.hub.config.Heartbeat)
	defer heartbeat.Stop()
	var frames []*frame
	for {
		select {
		case <-ctx.Done():
			return endGone
		case <-s.hub.drain:
			// What is in the queue is still sent: it was there first.
			frames, ended = s.client.take(frames)
			if ended == "" {
				ended = s.writeFrames(frames)
			}
			if ended == "" {
				ended = endDrained
			}
			return ended
		case <-s.client.wake:
			if frames, ended = s.client.take(frames); ended == "" {
				ended = s.writeFrames(frames)
			}
		case <-heartbeat.C:
			// The id keeps the client's position near the end although its
			// topics are quiet, or others would push it out of the window.
			ended = s.write(encodeID(s.hub.idle(s.client)))
		}
		if ended != "" {
			return ended
		}
		heartbeat.Reset(s.hub.config.Heartbeat)
	}
}

func (s *stream) writeFrames(frames []*frame) (ended string) {
	if len(frames) == 0 {
		return ""
	}
	for _, f := range frames {
		if ended := s.deadline(); ended != "" {
			return ended
		}
		if _, err := s.w.Write(f.wire); err != nil {
			return writeEnded(err)
		}
	}
	if err := s.control.Flush(); err != nil {
		return writeEnded(err)
	}
	s.client.at.seq = frames[len(frames)-1].seq
	s.hub.metrics.sent.Add(float64(len(frames)))
	return ""
}

func (s *stream) write(chunks ...[]byte) (ended string) {
	if ended := s.deadline(); ended != "" {
		return ended
	}
	for _, chunk := range chunks {
		if _, err := s.w.Write(chunk); err != nil {
			return writeEnded(err)
		}
	}
	return writeEnded(s.control.Flush())
}

// deadline moves the write deadline, in place of the server's for whole answers.
func (s *stream) deadline() (ended string) {
	return writeEnded(s.control.SetWriteDeadline(time.Now().Add(s.hub.config.WriteTimeout)))
}

// writeEnded returns why the stream ends with err, "" where there is none.
func writeEnded(err error) (ended string) {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, os.ErrDeadlineExceeded):
		return endStalled
	}
	return endGone
}

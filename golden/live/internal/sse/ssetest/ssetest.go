// Package ssetest reads event streams in tests, as a browser does.
package ssetest

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An Event is what a browser would hand to the page.
type Event struct {
	ID, Type, Data string
}

// A Stream is one open event stream. It belongs to one goroutine, but for Close.
type Stream struct {
	// LastID is the id to come back with.
	LastID string
	// Retry is how long the server wants the client to wait before that.
	Retry time.Duration

	body  *bufio.Reader
	close func() error
}

// Open opens the stream at url after the event lastID, or from now on where
// that is "". The test fails where it is not an event stream, and closes it at
// its end. Open must be called in the test's goroutine.
func Open(t testing.TB, url, lastID string) *Stream {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	// A connection of its own, as streams have: closing it is seen at once.
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req) //nolint:bodyclose // Close does
	if err != nil {
		t.Fatal(err)
	}
	s := &Stream{LastID: lastID, body: bufio.NewReader(resp.Body), close: resp.Body.Close}
	t.Cleanup(s.Close)
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("%s: %s, %s", url, resp.Status, resp.Header.Get("Content-Type"))
	}
	return s
}

// Next returns the next event. Its error is that of the connection, io.EOF at
// the stream's end.
func (s *Stream) Next() (Event, error) {
	for {
		e, dispatched, err := s.block()
		if err != nil || dispatched {
			return e, err
		}
	}
}

// Position reads up to the next id without an event, as the stream starts with
// and as heartbeats have it.
func (s *Stream) Position() error {
	for before := s.LastID; s.LastID == before; {
		if _, _, err := s.block(); err != nil {
			return err
		}
	}
	return nil
}

// block reads up to the next empty line, by the rules of the HTML Living
// Standard, section 9.2.6.
func (s *Stream) block() (e Event, dispatched bool, err error) {
	var data []string
	id := s.LastID
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			return Event{}, false, err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			if line == "\n" {
				s.LastID = id
				return Event{ID: id, Type: e.Type, Data: strings.Join(data, "\n")}, len(data) > 0, nil
			}
		case "id":
			id = value
		case "event":
			e.Type = value
		case "data":
			data = append(data, value)
		case "retry":
			if ms, err := strconv.Atoi(value); err == nil {
				s.Retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
}

// Close ends the stream, as a browser does that leaves the page.
func (s *Stream) Close() {
	_ = s.close() // it was read as far as it was wanted
}

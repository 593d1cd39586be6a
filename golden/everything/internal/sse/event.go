package sse

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An Event is something that happened on a topic.
type Event struct {
	// Topic is whom it is for. It is never sent to the client.
	Topic string
	// Type is the event's name in the browser, as in addEventListener(Type);
	// empty means "message". "reset" is the hub's own.
	Type string
	// Data is text, usually JSON.
	Data []byte
}

// What is wrong with an event that is refused.
var (
	ErrTooLarge = errors.New("the event is too large")
	ErrType     = errors.New("the event's type must be one line, and not reset")
)

const typeReset = "reset"

func (e Event) validate(maxBytes int) error {
	if len(e.Data) > maxBytes {
		return fmt.Errorf("%w: %d bytes of data, %d are allowed", ErrTooLarge, len(e.Data), maxBytes)
	}
	if e.Type == typeReset || strings.ContainsAny(e.Type, "\r\n") {
		return fmt.Errorf("%w: %q", ErrType, e.Type)
	}
	return nil
}

// A frame is an event as it goes over the wire, encoded once for all clients.
type frame struct {
	seq   uint64
	at    time.Time
	topic string
	wire  []byte
}

// A position is a place in the order of events: clients hold it as the id of
// the last event and hand it back in Last-Event-ID. Sequences of different
// epochs have nothing to do with each other.
type position struct {
	epoch string
	seq   uint64
}

func (p position) String() string {
	return p.epoch + "-" + strconv.FormatUint(p.seq, 10)
}

func parsePosition(id string) (position, bool) {
	epoch, digits, found := strings.Cut(id, "-")
	seq, err := strconv.ParseUint(digits, 10, 64)
	return position{epoch, seq}, found && err == nil
}

// encode writes an event in the text/event-stream format (HTML Living Standard,
// section 9.2.6).
func encode(at position, eventType string, data []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(data) + len(eventType) + 64)
	b.WriteString("id: ")
	b.WriteString(at.String())
	if eventType != "" {
		b.WriteString("\nevent: ")
		b.WriteString(eventType)
	}
	for line := range bytes.SplitSeq(oneNewline(data), []byte("\n")) {
		b.WriteString("\ndata: ")
		b.Write(line)
	}
	b.WriteString("\n\n")
	return b.Bytes()
}

// oneNewline makes every line end, of which the format has three, a \n.
func oneNewline(data []byte) []byte {
	if bytes.IndexByte(data, '\r') < 0 {
		return data
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
}

// encodeID moves the client's position without an event. EventSource takes the
// id over at the empty line, and dispatches nothing as there is no data.
func encodeID(at position) []byte {
	return []byte("id: " + at.String() + "\n\n")
}

// encodeRetry tells the client how long to wait before it comes back.
func encodeRetry(wait time.Duration) []byte {
	return []byte("retry: " + strconv.FormatInt(wait.Milliseconds(), 10) + "\n\n")
}

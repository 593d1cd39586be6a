package websocket

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Message is something said in a room.
type Message struct {
	// Room is whom it is for.
	Room string
	// Type tells kinds of messages apart, by letters, digits, - and _; empty
	// means "message". The types of the hub's own frames are reserved.
	Type string
	// Data is a JSON value.
	Data json.RawMessage
}

// What is wrong with a message that is refused.
var (
	ErrTooLarge = errors.New("the message is too large")
	ErrInvalid  = errors.New("the message can't be sent")
)

// The types of the hub's own frames.
const (
	typeMessage  = "message"
	typeWelcome  = "welcome"  // the first one: where the client stands
	typeReset    = "reset"    // not everything that the client missed can be had
	typePosition = "position" // the client has come further, with no message for it
	typeAccepted = "accepted" // a message of the client's was taken
	typeError    = "error"    // or not, or nobody knows
)

// encode checks a message, and returns it as it goes over the wire, without its
// position, which [frame] puts in.
func (m Message) encode(maxBytes int) ([]byte, error) {
	if len(m.Data) > maxBytes {
		return nil, fmt.Errorf("%w: %d bytes of data, %d are allowed", ErrTooLarge, len(m.Data), maxBytes)
	}
	switch m.Type {
	case typeWelcome, typeReset, typePosition, typeAccepted, typeError:
		return nil, fmt.Errorf("%w: the type %s is reserved", ErrInvalid, m.Type)
	}
	if strings.ContainsFunc(m.Type, notInName) {
		return nil, fmt.Errorf("%w: type %.80q: must be letters, digits, - and _", ErrInvalid, m.Type)
	}
	var data bytes.Buffer
	data.Grow(len(m.Data))
	if err := json.Compact(&data, bytes.ToValidUTF8(m.Data, []byte("\uFFFD"))); err != nil {
		return nil, fmt.Errorf("%w: data: %w", ErrInvalid, err)
	}
	return data.Bytes(), nil
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// A frame is a message as it goes over the wire, encoded once for all clients.
type frame struct {
	seq  uint64
	at   time.Time
	room string
	wire []byte
}

// newFrame makes a frame of a message whose data is encoded.
func newFrame(at position, stored time.Time, m Message, data []byte) *frame {
	kind := m.Type
	if kind == "" {
		kind = typeMessage
	}
	id := at.String()
	wire := make([]byte, 0, len(data)+len(id)+len(kind)+32)
	wire = append(wire, `{"type":"`...)
	wire = append(wire, kind...)
	wire = append(wire, `","id":"`...)
	wire = append(wire, id...)
	wire = append(wire, `","data":`...)
	wire = append(wire, data...)
	wire = append(wire, '}')
	return &frame{seq: at.seq, at: stored, room: m.Room, wire: wire}
}

// A position is a place in the order of messages: clients hold it as the id of
// the last frame that had one, and come back with it as their resume token.
// Sequences of different epochs have nothing to do with each other.
type position struct {
	epoch string
	seq   uint64
}

func (p position) String() string {
	return p.epoch + "-" + strconv.FormatUint(p.seq, 10)
}

func parsePosition(token string) (position, bool) {
	epoch, digits, found := strings.Cut(token, "-")
	seq, err := strconv.ParseUint(digits, 10, 64)
	return position{epoch, seq}, found && err == nil
}

// A note is a frame that the hub itself sends to one client.
type note struct {
	Type string `json:"type"`
	// ID is the client's position.
	ID string `json:"id,omitempty"`
	// Reason says why not everything can be replayed.
	Reason string `json:"reason,omitempty"`
	// RetryMS is how long the client should wait, in milliseconds, before it
	// comes back from a socket that was closed.
	RetryMS int64 `json:"retry_ms,omitempty"`
	// Ref is what the client calls the message that this answers.
	Ref string `json:"ref,omitempty"`
	// Message is the id that it has in the room.
	Message string `json:"message,omitempty"`
	// Status and Detail say what is wrong with it, as HTTP does.
	Status int    `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"`
}

func (n note) encode() []byte {
	wire, err := json.Marshal(n)
	if err != nil { // A note is strings and numbers: it always encodes.
		return []byte("{}")
	}
	return wire
}

// An incoming is what a client sends.
type incoming struct {
	// Ref is the client's own name for the message, up to 64 bytes; with one
	// it is told that the message was taken.
	Ref  string          `json:"ref"`
	Data json.RawMessage `json:"data"`
}

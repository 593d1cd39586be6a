package pubsub

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Message is something published on a topic.
type Message struct {
	// Topic is one to eight names with dots between, of letters, digits, - and
	// _: "orders.42".
	Topic string
	// ID names the message among those of its topic: published again within
	// the dedupe window it is not stored again. It is up to 128 printable ASCII
	// characters; empty means an id of its own.
	ID string
	// Type says what kind of message it is, by a name as those in topics. It
	// may be empty.
	Type string
	Data []byte

	// Seq is the message's place in the order of all messages, and Time when it
	// was stored. Publishing sets them.
	Seq  uint64
	Time time.Time
}

// What a caller can tell apart.
var (
	ErrInvalid     = errors.New("invalid message")
	ErrTooLarge    = errors.New("the message is too large")
	ErrUnavailable = errors.New("pub/sub is not available")
	// ErrReplaced says that the stream is not the one that the sequence is of.
	ErrReplaced = errors.New("the stream was replaced")
)

const (
	maxTopic  = 200 // bytes
	maxTokens = 8
	maxType   = 64     // bytes
	maxID     = 128    // bytes
	typeKey   = "Type" // the header of a message's type
)

func (m Message) validate() error {
	if err := checkTopic(m.Topic, false); err != nil {
		return err
	}
	if len(m.Type) > maxType || strings.ContainsFunc(m.Type, notInToken) {
		return fmt.Errorf("%w: type %.80q: must be up to %d letters, digits, - and _", ErrInvalid, m.Type, maxType)
	}
	if len(m.ID) > maxID || strings.ContainsFunc(m.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%w: id %.150q: must be up to %d printable ASCII characters", ErrInvalid, m.ID, maxID)
	}
	return nil
}

// CheckTopic fails with [ErrInvalid] for what is no topic, which a filter with
// wildcards is not either.
func CheckTopic(topic string) error { return checkTopic(topic, false) }

// checkTopic reports what is wrong with a topic. A filter may also have * for
// any one token, and end in > for any number of them.
func checkTopic(topic string, filter bool) error {
	tokens := strings.Split(topic, ".")
	if len(topic) > maxTopic || len(tokens) > maxTokens {
		return fmt.Errorf("%w: topic %.40q: must have at most %d names and %d bytes", ErrInvalid, topic, maxTokens, maxTopic)
	}
	for i, token := range tokens {
		if filter && (token == "*" || token == ">" && i == len(tokens)-1) {
			continue
		}
		if token == "" || strings.ContainsFunc(token, notInToken) {
			return fmt.Errorf("%w: topic %q: must be names of letters, digits, - and _ with dots between", ErrInvalid, topic)
		}
	}
	return nil
}

func notInToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

func (b *Bus) subject(topic string) string { return b.config.Stream + "." + topic }

// subjects returns the subjects of the filters, or of everything where there
// are none.
func (b *Bus) subjects(filters []string) ([]string, error) {
	if len(filters) == 0 {
		return []string{b.subject(">")}, nil
	}
	subjects := make([]string, 0, len(filters))
	for _, filter := range filters {
		if err := checkTopic(filter, true); err != nil {
			return nil, err
		}
		subjects = append(subjects, b.subject(filter))
	}
	return subjects, nil
}

// message is what publishing made of it, the other way round.
func (b *Bus) message(subject string, header nats.Header, data []byte) Message {
	topic := strings.TrimPrefix(subject, b.config.Stream+".")
	return Message{
		Topic: topic,
		ID:    strings.TrimPrefix(header.Get(jetstream.MsgIDHeader), topic+"/"),
		Type:  header.Get(typeKey),
		Data:  data,
	}
}

// stored returns a message that comes from the stream.
func (b *Bus) stored(msg jetstream.Msg) (Message, *jetstream.MsgMetadata, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, nil, fmt.Errorf("message metadata: %w", err)
	}
	m := b.message(msg.Subject(), msg.Headers(), msg.Data())
	m.Seq, m.Time = meta.Sequence.Stream, meta.Timestamp
	return m, meta, nil
}

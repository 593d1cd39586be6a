package pubsub

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// An Ack says where a message stands.
type Ack struct {
	Seq uint64
	// Duplicate says that a message of this topic and id was there already.
	Duplicate bool
}

// Publish stores a message and returns once it is stored, on as many servers as
// configured. It tries again until the publish timeout is up or ctx is done,
// without storing it twice, and then fails with [ErrUnavailable]: the message
// may be stored nevertheless. It fails with [ErrInvalid] or [ErrTooLarge] where
// trying again is of no use.
func (b *Bus) Publish(ctx context.Context, m Message) (Ack, error) {
	start := time.Now()
	ctx, span := b.tracer.Start(ctx, "pubsub.publish", trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(attribute.String("messaging.destination.name", m.Topic)))
	defer span.End()
	ack, err := b.publish(ctx, m)
	result := resultStored
	switch {
	case err != nil:
		result = resultFailed
		if errors.Is(err, ErrInvalid) || errors.Is(err, ErrTooLarge) {
			result = resultRefused // what is wrong is the message
		}
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	case ack.Duplicate:
		result = resultDuplicate
	}
	b.metrics.published.WithLabelValues(result).Observe(time.Since(start).Seconds())
	return ack, err
}

func (b *Bus) publish(ctx context.Context, m Message) (Ack, error) {
	if err := m.validate(); err != nil {
		return Ack{}, err
	}
	if m.ID == "" {
		m.ID = rand.Text()
	}
	msg := nats.NewMsg(b.subject(m.Topic))
	msg.Data = m.Data
	if m.Type != "" {
		msg.Header.Set(typeKey, m.Type)
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(msg.Header))
	id := m.Topic + "/" + m.ID

	ctx, cancel := context.WithTimeout(ctx, b.config.PublishTimeout)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		ack, err := b.publishOnce(ctx, msg, id)
		switch {
		case err == nil:
			return Ack{Seq: ack.Sequence, Duplicate: ack.Duplicate}, nil
		case tooLarge(err):
			return Ack{}, fmt.Errorf("%w: %d bytes of data, %d are allowed with headers", ErrTooLarge, len(m.Data), b.config.MaxMessageBytes)
		case permanent(err):
			return Ack{}, fmt.Errorf("publish on %s: %w", m.Topic, err)
		}
		if !sleep(ctx, wait) {
			return Ack{}, fmt.Errorf("%w: publish on %s: %w", ErrUnavailable, m.Topic, err)
		}
	}
}

// publishOnce waits for one acknowledgement. An attempt that gets none is cut
// short, as the server that was to give it may be gone.
func (b *Bus) publishOnce(ctx context.Context, msg *nats.Msg, id string) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, min(max(b.config.PublishTimeout/4, 100*time.Millisecond), time.Second))
	defer cancel()
	if b.conn.IsClosed() {
		return nil, nats.ErrConnectionClosed
	}
	if !b.conn.IsConnected() {
		return nil, errDisconnected
	}
	ack, err := b.js.PublishMsg(ctx, msg, jetstream.WithMsgID(id),
		jetstream.WithExpectStream(b.config.Stream), jetstream.WithRetryAttempts(0))
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = errors.Join(err, b.restoreStream(ctx))
	}
	if err != nil && !tooLarge(err) {
		// A server that can't write its store gives no answer.
		err = errors.Join(err, b.server.repair())
	}
	return ack, err
}

func tooLarge(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum)
}

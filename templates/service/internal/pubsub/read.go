package pubsub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/propagation"
)

// Follow calls handle with each message after the sequence after whose topic
// matches one of the filters, or of every topic without filters: first those
// that are stored, then each that is published, in order, none left out and none
// twice. It goes on over reconnects and restarts of the servers, until ctx is
// done or handle returns an error, which it returns. It fails with
// [ErrReplaced] when the stream is another than it was, or has not come as far
// as after: sequences mean nothing in it.
//
// Messages that were already removed by the limits can't be had: the first one
// then simply has a later sequence. See [Bus.State].
func (b *Bus) Follow(ctx context.Context, after uint64, handle func(Message) error, filters ...string) error {
	subjects, err := b.subjects(filters)
	if err != nil {
		return err
	}
	epoch := ""
	for {
		err := b.followOnce(ctx, subjects, &epoch, &after, handle)
		var failed handlerError
		switch {
		case errors.As(err, &failed):
			return failed.error
		case ctx.Err() != nil:
			return ctx.Err()
		case permanent(err) || errors.Is(err, ErrReplaced):
			return fmt.Errorf("follow: %w", err)
		}
		b.metrics.restarts.Inc()
		b.log.InfoContext(ctx, "pub/sub reader starts again", "after", after, "error", err)
		if !sleep(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// handlerError is an error of the caller's, which ends the reading.
type handlerError struct{ error }

// errRestart says that the reader has to start again where it is.
var errRestart = errors.New("messages were missed")

// followOnce reads until something is wrong, and moves after on with each
// message. It does what an ordered consumer of the library does, but stops as
// soon as ctx is done.
func (b *Bus) followOnce(ctx context.Context, subjects []string, epoch *string, after *uint64, handle func(Message) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The server that has come back may not know this consumer any more.
	defer b.onReconnect(cancel)()
	state, err := b.State(ctx)
	if err != nil {
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			err = errors.Join(err, b.restoreStream(ctx))
		}
		return err
	}
	if *epoch == "" {
		*epoch = state.Epoch
	}
	if state.Epoch != *epoch || state.Last < *after {
		return ErrReplaced
	}
	reader, err := b.newReader(ctx, subjects, *after)
	if err != nil {
		return err
	}
	defer reader.close(ctx)
	for {
		m, err := reader.next(ctx)
		if err != nil {
			return err
		}
		if err := handle(m); err != nil {
			return handlerError{err}
		}
		*after = m.Seq
		b.metrics.delivered.WithLabelValues(modeFollow).Inc()
	}
}

// Read calls yield with the stored messages after one sequence, up to and
// including another, whose topic matches one of the filters, or of every topic
// without filters. It returns when it has come to the end of what was stored
// when it began, or with the error of yield. It fails with [ErrUnavailable] when
// the servers don't answer.
func (b *Bus) Read(ctx context.Context, after, upTo uint64, yield func(Message) error, filters ...string) error {
	subjects, err := b.subjects(filters)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := b.readOnce(ctx, subjects, &after, upTo, yield)
		var failed handlerError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &failed):
			return failed.error
		// A server that was silent for a moment may have only been busy.
		case try < readTries && (errors.Is(err, jetstream.ErrNoHeartbeat) || errors.Is(err, errRestart)):
			b.metrics.restarts.Inc()
			continue
		}
		return fmt.Errorf("%w: read: %w", ErrUnavailable, err)
	}
}

// readTries is how often Read begins where it was interrupted, the first time
// included.
const readTries = 3

// readOnce reads until something is wrong, and moves after on with each message.
func (b *Bus) readOnce(ctx context.Context, subjects []string, after *uint64, upTo uint64, yield func(Message) error) error {
	reader, err := b.newReader(ctx, subjects, *after)
	if err != nil {
		return err
	}
	defer reader.close(ctx)
	for reader.pending > 0 {
		m, err := reader.next(ctx)
		if err != nil {
			return err
		}
		if m.Seq > upTo {
			return nil
		}
		if err := yield(m); err != nil {
			return handlerError{err}
		}
		*after = m.Seq
		b.metrics.delivered.WithLabelValues(modeRead).Inc()
	}
	return nil
}

// A reader reads the stream from one place on, by a consumer of its own which
// acknowledges nothing and is forgotten by the server when it goes silent.
type reader struct {
	bus      *Bus
	consumer string
	messages jetstream.MessagesContext
	count    uint64
	pending  uint64 // messages that are stored and still to come
}

func (b *Bus) newReader(ctx context.Context, subjects []string, after uint64) (*reader, error) {
	create, cancel := context.WithTimeout(ctx, b.config.ConnectTimeout)
	defer cancel()
	consumer, err := b.js.CreateConsumer(create, b.config.Stream, jetstream.ConsumerConfig{
		FilterSubjects:    subjects,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       after + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		MaxDeliver:        1,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	info := consumer.CachedInfo()
	// A server that dies takes this consumer with it: it is missed after two
	// heartbeats.
	messages, err := consumer.Messages(jetstream.PullMaxMessages(256), jetstream.PullExpiry(10*time.Second),
		jetstream.PullHeartbeat(time.Second), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return nil, err
	}
	return &reader{bus: b, consumer: info.Name, messages: messages, pending: info.NumPending}, nil
}

func (r *reader) next(ctx context.Context) (Message, error) {
	msg, err := r.messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		return Message{}, err
	}
	m, meta, err := r.bus.stored(msg)
	if err != nil {
		return Message{}, err
	}
	if r.count++; meta.Sequence.Consumer != r.count {
		return Message{}, errRestart
	}
	r.pending = meta.NumPending
	return m, nil
}

func (r *reader) close(ctx context.Context) {
	r.messages.Stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if !r.bus.connected() {
		return // the server forgets it by itself
	}
	if err := r.bus.js.DeleteConsumer(ctx, r.bus.config.Stream, r.consumer); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		r.bus.log.DebugContext(ctx, "pub/sub reader", "error", err)
	}
}

// A Delivery is a message that a group works on.
type Delivery struct {
	Message
	// Attempt is 1 the first time.
	Attempt uint64
	// Last says that the message is dropped if it fails this time.
	Last bool
}

// unlimited is how often a message is delivered that is never dropped.
const unlimited = -1

// Consume lets this instance work for a group: each message whose topic matches
// filter goes to one of its members, one at a time, from the first that is
// stored when the group is first heard of. What handle refuses by an error, or a
// member that died had, is tried again, later each time, MaxDeliver times in
// all. So handle may see a message again that it has dealt with. Consume returns
// when ctx is done.
func (b *Bus) Consume(ctx context.Context, group, filter string, handle func(context.Context, Delivery) error) error {
	return b.consume(ctx, group, filter, b.config.MaxDeliver, handle)
}

// ConsumeUntilHandled is [Bus.Consume] for a handle that decides by itself when a
// message was tried often enough: a message is delivered until handle returns
// nil, or until it is too old for the stream. A message whose members died comes
// again too, with the attempts counted. An error with a method RetryAfter says
// how long the message rests.
func (b *Bus) ConsumeUntilHandled(ctx context.Context, group, filter string, handle func(context.Context, Delivery) error) error {
	return b.consume(ctx, group, filter, unlimited, handle)
}

func (b *Bus) consume(ctx context.Context, group, filter string, maxDeliver int, handle func(context.Context, Delivery) error) error {
	if !streamName.MatchString(group) {
		return fmt.Errorf("group %q: must be 1 to 64 letters, digits, - and _", group)
	}
	if err := checkTopic(filter, true); err != nil {
		return err
	}
	b.metrics.join(group)
	for {
		err := b.consumeOnce(ctx, group, filter, maxDeliver, handle)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case permanent(err):
			return fmt.Errorf("group %s: %w", group, err)
		}
		b.metrics.restarts.Inc()
		b.log.InfoContext(ctx, "pub/sub group member starts again", "group", group, "error", err)
		if !sleep(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
}

func (b *Bus) consumeOnce(ctx context.Context, group, filter string, maxDeliver int, handle func(context.Context, Delivery) error) error {
	round, cancel := context.WithCancel(ctx)
	defer cancel()
	defer b.onReconnect(cancel)()
	create, cancelCreate := context.WithTimeout(round, b.config.ConnectTimeout)
	defer cancelCreate()
	consumer, err := b.js.CreateOrUpdateConsumer(create, b.config.Stream, jetstream.ConsumerConfig{
		Durable:       group,
		FilterSubject: b.subject(filter),
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       b.config.AckWait,
		MaxDeliver:    maxDeliver,
	})
	if err != nil {
		return err
	}
	// One message at a time: what waits here could be worked on elsewhere.
	messages, err := consumer.Messages(jetstream.PullMaxMessages(1), jetstream.PullExpiry(10*time.Second),
		jetstream.PullHeartbeat(time.Second), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return err
	}
	defer giveBack(messages)
	for {
		msg, err := messages.Next(jetstream.NextContext(round))
		if err != nil {
			return err
		}
		// The work goes on over a reconnect, and ends with the service.
		if err := b.work(ctx, group, maxDeliver, msg, handle); err != nil {
			return err
		}
	}
}

// giveBack ends the reading. What has arrived and was not begun goes to another
// member at once, rather than when AckWait is over.
func giveBack(messages jetstream.MessagesContext) {
	messages.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return
		}
		if err := msg.Nak(); err != nil {
			return // it comes back when AckWait is over
		}
	}
}

// work has one message handled, and tells the server what came of it.
func (b *Bus) work(ctx context.Context, group string, maxDeliver int, msg jetstream.Msg, handle func(context.Context, Delivery) error) error {
	m, meta, err := b.stored(msg)
	if err != nil {
		return err
	}
	d := Delivery{Message: m, Attempt: meta.NumDelivered, Last: maxDeliver != unlimited && meta.NumDelivered >= uint64(maxDeliver)} //nolint:gosec // is more than 0
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(msg.Headers()))
	ctx, span := b.tracer.Start(ctx, "pubsub.work")
	defer span.End()
	err = handle(ctx, d)
	// A service that stops still says that it has done its work.
	ackCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	result := resultDone
	switch {
	case err == nil:
		err = msg.DoubleAck(ackCtx)
	case d.Last:
		result = resultDropped
		span.RecordError(err)
		b.log.ErrorContext(ctx, "pub/sub message dropped", "group", group, "topic", m.Topic, "seq", m.Seq, "attempts", d.Attempt, "error", err)
		err = msg.TermWithReason("failed too often")
	default:
		result = resultRetried
		span.RecordError(err)
		err = msg.NakWithDelay(rest(err, d.Attempt))
	}
	b.metrics.handled.WithLabelValues(group, result).Inc()
	if err != nil { // it will be delivered again, when AckWait is over
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

// rest returns how long a message rests after a number of attempts, of which err
// ended the last: as long as the error says by a method RetryAfter, or as long as
// any message.
func rest(err error, attempts uint64) time.Duration {
	var says interface{ RetryAfter() time.Duration }
	if errors.As(err, &says) {
		return says.RetryAfter()
	}
	return backoff(attempts)
}

// backoff returns how long a message rests after a number of attempts.
func backoff(attempts uint64) time.Duration {
	return min(100*time.Millisecond<<min(attempts-1, 16), time.Minute)
}

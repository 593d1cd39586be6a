package pubsub

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// Subscribe calls handle with each message that is published from now on on a
// topic which matches filter, until ctx is done. With a group, each message goes
// to one of the group's members, over all instances.
//
// It is the quickest way and it promises the least: what is published while this
// instance is disconnected or too slow is lost to it, and what a publisher tries
// twice may come twice. Messages have no sequence here.
func (b *Bus) Subscribe(ctx context.Context, filter, group string, handle func(Message)) error {
	if err := checkTopic(filter, true); err != nil {
		return err
	}
	sub, err := b.conn.QueueSubscribeSync(b.subject(filter), group)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", filter, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails when the connection is closed
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, nats.ErrSlowConsumer):
			continue // counted where the connection reports it
		case err != nil:
			return fmt.Errorf("subscribe to %s: %w", filter, err)
		}
		handle(b.message(msg.Subject, msg.Header, msg.Data))
		b.metrics.delivered.WithLabelValues(modeLive).Inc()
	}
}

package main

import (
	"context"

	"example.com/orders/internal/pubsub"
	"example.com/orders/internal/setting"
	"example.com/orders/internal/sse"
)

// setupSSEPubsub puts the event streams on top of pub/sub: each event is a
// message on the topic of the same name, and each message an event. So an event
// reaches the clients of every instance, and a client resumes on any of them,
// also after a restart.
func (a *App) setupSSEPubsub(s *settings) start {
	events, messages := loadConfig[sse.Config](s), loadPubsubConfig(s)
	s.refuseTogether(setting.Within("SSE_MAX_EVENT_BYTES", events.MaxEventBytes, "PUBSUB_MAX_MESSAGE_BYTES", int(messages.MaxMessageBytes),
		"or the bus refuses events that the streams take"))
	return func(ctx context.Context) error {
		if err := a.sse.Share(ctx, pubsubLog{a.pubsub}); err != nil {
			return err
		}
		a.life.Go("sse_pubsub", a.sse.Follow)
		return nil
	}
}

// pubsubLog is the bus as event streams see it.
type pubsubLog struct{ bus *pubsub.Bus }

func (l pubsubLog) State(ctx context.Context) (sse.LogState, error) {
	state, err := l.bus.State(ctx)
	return sse.LogState(state), err
}

func (l pubsubLog) Append(ctx context.Context, e sse.Event) (uint64, error) {
	ack, err := l.bus.Publish(ctx, pubsub.Message{Topic: e.Topic, Type: e.Type, Data: e.Data})
	if err != nil {
		return 0, pubsubProblem(err)
	}
	return ack.Seq, nil
}

func (l pubsubLog) Follow(ctx context.Context, after uint64, deliver func(sse.Record)) error {
	return l.bus.Follow(ctx, after, func(m pubsub.Message) error {
		deliver(pubsubRecord(m))
		return nil
	})
}

func (l pubsubLog) Read(ctx context.Context, after, upTo uint64, topics []string, yield func(sse.Record) error) error {
	return l.bus.Read(ctx, after, upTo, func(m pubsub.Message) error {
		return yield(pubsubRecord(m))
	}, topics...)
}

func pubsubRecord(m pubsub.Message) sse.Record {
	return sse.Record{Seq: m.Seq, Time: m.Time, Event: sse.Event{Topic: m.Topic, Type: m.Type, Data: m.Data}}
}

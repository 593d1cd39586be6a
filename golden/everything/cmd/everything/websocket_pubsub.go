package main

import (
	"context"

	"example.com/orders/internal/pubsub"
	"example.com/orders/internal/setting"
	"example.com/orders/internal/websocket"
)

// setupWebSocketPubsub puts the rooms on top of pub/sub: what is said in a room
// is a message on the topic of the same name, and the other way round. So it
// reaches the clients of every instance, and a client resumes on any of them,
// also after a restart.
func (a *App) setupWebSocketPubsub(s *settings) start {
	sockets, messages := loadConfig[websocket.Config](s), loadPubsubConfig(s)
	s.refuseTogether(setting.Within("WEBSOCKET_MAX_MESSAGE_BYTES", sockets.MaxMessageBytes, "PUBSUB_MAX_MESSAGE_BYTES", int(messages.MaxMessageBytes),
		"or the bus refuses messages that the sockets take"))
	s.refuseTogether(setting.Within("PUBSUB_PUBLISH_TIMEOUT", messages.PublishTimeout, "WEBSOCKET_PONG_TIMEOUT", sockets.PongTimeout,
		"or a client is taken for dead while its message is stored"))
	return func(ctx context.Context) error {
		if err := a.websocket.Share(ctx, websocketLog{a.pubsub}); err != nil {
			return err
		}
		a.life.Go("websocket_pubsub", a.websocket.Follow)
		return nil
	}
}

// websocketLog is the bus as the rooms see it.
type websocketLog struct{ bus *pubsub.Bus }

func (l websocketLog) State(ctx context.Context) (websocket.LogState, error) {
	state, err := l.bus.State(ctx)
	return websocket.LogState(state), err
}

func (l websocketLog) Append(ctx context.Context, m websocket.Message) (uint64, error) {
	ack, err := l.bus.Publish(ctx, pubsub.Message{Topic: m.Room, Type: m.Type, Data: m.Data})
	if err != nil {
		return 0, pubsubProblem(err)
	}
	return ack.Seq, nil
}

func (l websocketLog) Follow(ctx context.Context, after uint64, deliver func(websocket.Record)) error {
	return l.bus.Follow(ctx, after, func(m pubsub.Message) error {
		deliver(websocketRecord(m))
		return nil
	})
}

func (l websocketLog) Read(ctx context.Context, after, upTo uint64, room string, yield func(websocket.Record) error) error {
	var rooms []string
	if room != "" {
		rooms = append(rooms, room)
	}
	return l.bus.Read(ctx, after, upTo, func(m pubsub.Message) error {
		return yield(websocketRecord(m))
	}, rooms...)
}

func websocketRecord(m pubsub.Message) websocket.Record {
	return websocket.Record{Seq: m.Seq, Time: m.Time, Message: websocket.Message{Room: m.Topic, Type: m.Type, Data: m.Data}}
}

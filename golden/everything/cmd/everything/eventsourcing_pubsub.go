package main

import (
	"context"
	"encoding/json"
	"fmt"

	"example.com/orders/internal/eventsourcing"
	"example.com/orders/internal/pubsub"
)

// setupEventsourcingPubsub publishes every event, in order, on the topic
// events.<stream>: the log is the outbox. A message is published at least once;
// within the bus's dedupe window a second time is no second message.
func (a *App) setupEventsourcingPubsub(*settings) start {
	return func(context.Context) error {
		a.life.Go("eventsourcing_pubsub", a.eventsourcing.Follow(eventsourcing.Projection{
			Name: "outbox",
			Deliver: func(ctx context.Context, e eventsourcing.Event) error {
				data, err := json.Marshal(e.Value) // in the form of today
				if err != nil {
					return err
				}
				_, err = a.pubsub.Publish(ctx, pubsub.Message{
					Topic: "events." + e.Stream,
					ID:    fmt.Sprint(e.Version),
					Type:  e.Type,
					Data:  data,
				})
				return err
			},
		}))
		return nil
	}
}

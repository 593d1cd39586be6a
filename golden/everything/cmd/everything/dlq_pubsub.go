package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"example.com/orders/internal/dlq"
	"example.com/orders/internal/pubsub"
)

// setupDLQPubsub makes dead letters of the messages that a group of consumers
// can't handle, and runs an example of such a group, which reads payments.
func (a *App) setupDLQPubsub(s *settings) start {
	config := loadConfig[dlq.Config](s)
	return func(context.Context) error {
		streams := dlq.NewStreams(a.database, a.workers, a.dlq, config, a.log)
		if err := a.dlq.Add(streams); err != nil {
			return err
		}
		a.life.Go("dlq streams", streams.Run)

		handle := streams.Handle("payments", a.handlePayment)
		a.life.Go("payments", func(ctx context.Context) error {
			return a.pubsub.ConsumeUntilHandled(ctx, "payments", "payments.>", handle)
		})
		return nil
	}
}

// handlePayment is where a payment would be entered in the books.
func (a *App) handlePayment(ctx context.Context, d pubsub.Delivery) error {
	var payment struct {
		Amount int64 `json:"amount"`
	}
	if err := json.Unmarshal(d.Data, &payment); err != nil {
		return fmt.Errorf("payment: %w", err)
	}
	if payment.Amount <= 0 {
		return errors.New("payment: the amount must be more than 0")
	}
	a.log.InfoContext(ctx, "payment", "topic", d.Topic, "id", d.ID, "amount", payment.Amount)
	return nil
}

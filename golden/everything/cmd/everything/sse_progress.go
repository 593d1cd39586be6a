package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"example.com/orders/internal/progress"
	"example.com/orders/internal/sse"
)

// setupSSEProgress streams what jobs report to those who accept event streams, at
// the pace at which it is written.
func (a *App) setupSSEProgress(*settings) start {
	return func(context.Context) error {
		topic := func(job int64) string { return fmt.Sprintf("jobs.%d.progress", job) }
		a.progress.AddStream(progress.Stream{
			Name:  "events",
			Wants: sse.Wanted,
			// Whoever may call it sees it: check here that the job is the caller's.
			Serve: func(w http.ResponseWriter, r *http.Request, job int64) error {
				return a.sse.Stream(w, r, topic(job))
			},
			Publish: func(ctx context.Context, u progress.Update) error {
				data, err := json.Marshal(u)
				if err != nil {
					return err
				}
				_, err = a.sse.Publish(ctx, sse.Event{Topic: topic(u.Job), Type: "progress", Data: data})
				return err
			},
		})
		return nil
	}
}

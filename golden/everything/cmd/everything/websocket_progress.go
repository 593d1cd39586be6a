package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/progress"
	"example.com/orders/internal/websocket"
)

// setupWebSocketProgress sends what jobs report to those who ask for a socket, at
// the pace at which it is written.
func (a *App) setupWebSocketProgress(*settings) start {
	return func(context.Context) error {
		// No topic that event streams have: on a bus that both share, each update
		// would come twice.
		room := func(job int64) string { return fmt.Sprintf("jobs.%d.progress.socket", job) }
		a.progress.AddStream(progress.Stream{
			Name:  "socket",
			Wants: func(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") },
			// Whoever may call it sees it: check here that the job is the caller's.
			Serve: func(w http.ResponseWriter, r *http.Request, job int64) error {
				return a.websocket.Serve(w, r, room(job), func(context.Context, json.RawMessage) (string, error) {
					return "", httpapi.NewProblem(http.StatusBadRequest, "This socket takes no messages.")
				})
			},
			Publish: func(ctx context.Context, u progress.Update) error {
				data, err := json.Marshal(u)
				if err != nil {
					return err
				}
				_, err = a.websocket.Publish(ctx, websocket.Message{Room: room(u.Job), Type: "progress", Data: data})
				return err
			},
		})
		return nil
	}
}

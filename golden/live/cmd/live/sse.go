package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/server"
	"example.com/orders/internal/setting"
	"example.com/orders/internal/sse"
)

// setupSSE builds the hub for event streams, and an example that uses it: the
// status of orders.
func (a *App) setupSSE(s *settings) start {
	config := loadConfig[sse.Config](s)
	serverConfig := loadConfig[server.Config](s)
	s.refuseTogether(setting.Within("SSE_WRITE_TIMEOUT", config.WriteTimeout, "HTTP_CLOSE_TIMEOUT", serverConfig.CloseTimeout,
		"or a stalled client holds up the shutdown"))
	return func(context.Context) error {
		a.sse = sse.New(config, a.log, a.metrics, a.tracing)
		a.life.OnDrain(a.sse.Drain)

		a.mux.Handle("GET /orders/{id}/events", httpapi.Handler(a.orderEvents))
		a.mux.Handle("PUT /orders/{id}/status", httpapi.Handler(a.putOrderStatus))
		a.mux.Handle("GET /demo/sse", sseDemo("sse.html", "text/html; charset=utf-8"))
		a.mux.Handle("GET /demo/sse.js", sseDemo("sse.js", "text/javascript; charset=utf-8"))
		return nil
	}
}

var orderID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// orderTopic returns the topic of the order in the request's path.
func orderTopic(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !orderID.MatchString(id) {
		return "", httpapi.NewProblem(http.StatusBadRequest, "An order's id is 1 to 64 letters, digits, - and _.")
	}
	return "orders." + id, nil
}

// orderEvents streams an order's events. Whoever may call it sees them: check
// here that the order is the caller's.
func (a *App) orderEvents(w http.ResponseWriter, r *http.Request) error {
	topic, err := orderTopic(r)
	if err != nil {
		return err
	}
	return a.sse.Stream(w, r, topic)
}

// An orderStatus is what the example says of an order.
type orderStatus struct {
	Status string `json:"status"`
}

func (a *App) putOrderStatus(w http.ResponseWriter, r *http.Request) error {
	topic, err := orderTopic(r)
	if err != nil {
		return err
	}
	status, err := httpapi.DecodeJSON[orderStatus](r)
	if err != nil {
		return err
	}
	if status.Status == "" {
		return httpapi.NewProblem(http.StatusBadRequest, "status: say what it is.")
	}
	data, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("encode the status: %w", err)
	}
	id, err := a.sse.Publish(r.Context(), sse.Event{Topic: topic, Type: "status", Data: data})
	if errors.Is(err, sse.ErrTooLarge) {
		return httpapi.NewProblem(http.StatusRequestEntityTooLarge, err.Error())
	}
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, r, http.StatusOK, map[string]string{"event_id": id})
	return nil
}

//go:embed sse.html sse.js
var sseDemoFiles embed.FS

// sseDemo serves a file of the demo page, which may load and call nothing but
// this service.
func sseDemo(name, contentType string) http.Handler {
	return httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
		content, err := sseDemoFiles.ReadFile(name)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
		return nil
	})
}

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
	"unicode/utf8"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/lifecycle"
	"example.com/orders/internal/setting"
	"example.com/orders/internal/websocket"
)

// setupWebSocket builds the hub for sockets, and an example that uses it: chat
// in rooms.
func (a *App) setupWebSocket(s *settings) start {
	config := loadConfig[websocket.Config](s)
	life := loadConfig[lifecycle.Config](s)
	s.refuseTogether(setting.Within("WEBSOCKET_CLOSE_TIMEOUT", config.CloseTimeout, "SHUTDOWN_TIMEOUT", life.ShutdownTimeout,
		"or the time to stop is up before the sockets are closed"))
	return func(context.Context) error {
		var err error
		if a.websocket, err = websocket.New(config, a.log, a.metrics, a.tracing); err != nil {
			return err
		}
		a.life.OnDrain(a.websocket.Drain)
		a.life.OnStop("websocket", a.websocket.Close)

		a.mux.Handle("GET /rooms/{id}/socket", httpapi.Handler(a.roomSocket))
		a.mux.Handle("POST /rooms/{id}/messages", httpapi.Handler(a.postRoomMessage))
		a.mux.Handle("GET /demo/websocket", websocketDemo("websocket.html", "text/html; charset=utf-8"))
		a.mux.Handle("GET /demo/websocket.js", websocketDemo("websocket.js", "text/javascript; charset=utf-8"))
		return nil
	}
}

var roomID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// roomOf returns the room in the request's path.
func roomOf(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !roomID.MatchString(id) {
		return "", httpapi.NewProblem(http.StatusBadRequest, "A room's id is 1 to 64 letters, digits, - and _.")
	}
	return "rooms." + id, nil
}

// roomSocket lets the caller into a room. Whoever may call it reads and writes
// there: check here that the caller may, and who it is.
func (a *App) roomSocket(w http.ResponseWriter, r *http.Request) error {
	room, err := roomOf(r)
	if err != nil {
		return err
	}
	return a.websocket.Serve(w, r, room, func(ctx context.Context, data json.RawMessage) (string, error) {
		return a.say(ctx, room, data)
	})
}

// postRoomMessage is for what has something to say in a room and no socket.
func (a *App) postRoomMessage(w http.ResponseWriter, r *http.Request) error {
	room, err := roomOf(r)
	if err != nil {
		return err
	}
	data, err := httpapi.DecodeJSON[json.RawMessage](r)
	if err != nil {
		return err
	}
	id, err := a.say(r.Context(), room, data)
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, r, http.StatusCreated, map[string]string{"message": id})
	return nil
}

// A chatMessage is what the example says in a room.
type chatMessage struct {
	From string `json:"from"`
	Text string `json:"text"`
}

// say checks a chat message and publishes it in the room.
func (a *App) say(ctx context.Context, room string, data json.RawMessage) (id string, err error) {
	if data, err = checkChat(data); err != nil {
		return "", err
	}
	id, err = a.websocket.Publish(ctx, websocket.Message{Room: room, Data: data})
	return id, chatProblem(err)
}

// checkChat returns a chat message as it is said in a room.
func checkChat(data json.RawMessage) (json.RawMessage, error) {
	var message chatMessage
	if err := json.Unmarshal(data, &message); err != nil {
		return nil, httpapi.NewProblem(http.StatusBadRequest, `Send {"from": "a name", "text": "what you say"}.`)
	}
	if n := utf8.RuneCountInString(message.From); n < 1 || n > 40 {
		return nil, httpapi.NewProblem(http.StatusBadRequest, "from: must be 1 to 40 characters.")
	}
	if message.Text == "" {
		return nil, httpapi.NewProblem(http.StatusBadRequest, "text: say something.")
	}
	data, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode the message: %w", err)
	}
	return data, nil
}

// chatProblem says in the API's words why a message can't be said.
func chatProblem(err error) error {
	if errors.Is(err, websocket.ErrTooLarge) {
		return httpapi.NewProblem(http.StatusRequestEntityTooLarge, err.Error())
	}
	return err
}

//go:embed websocket.html websocket.js
var websocketDemoFiles embed.FS

// websocketDemo serves a file of the demo page, which may load and call nothing
// but this service.
func websocketDemo(name, contentType string) http.Handler {
	return httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
		content, err := websocketDemoFiles.ReadFile(name)
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

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/pubsub"
)

// setupPubsub opens the bus, and mounts an example that uses it: topics of JSON
// messages.
func (a *App) setupPubsub(s *settings) start {
	config := loadPubsubConfig(s)
	return func(ctx context.Context) error {
		var err error
		a.pubsub, err = pubsub.Open(ctx, config, a.log, a.metrics, a.tracing)
		if err != nil {
			return err
		}
		a.life.OnStop("pubsub", a.pubsub.Close)
		a.life.OnReady("pubsub", a.pubsub.Ready)

		a.mux.Handle("POST /topics/{topic}/messages", httpapi.Handler(a.postMessage))
		a.mux.Handle("GET /topics/{topic}/messages", httpapi.Handler(a.getMessages))
		return nil
	}
}

// loadPubsubConfig reads the settings of the bus, whose stream is the service's
// own: other services on the same cluster have theirs.
func loadPubsubConfig(s *settings) pubsub.Config {
	named := &settings{getenv: func(variable string) string {
		return cmp.Or(s.getenv(variable), map[string]string{"PUBSUB_STREAM": name}[variable])
	}}
	config := loadConfig[pubsub.Config](named)
	s.refuse(errors.Join(named.faults...))
	return config
}

// A topicMessage is a message as the API shows it.
type topicMessage struct {
	Seq  uint64          `json:"seq,omitempty"`
	Time *time.Time      `json:"time,omitempty"`
	ID   string          `json:"id,omitempty"`
	Type string          `json:"type,omitempty"`
	Data json.RawMessage `json:"data"`
}

func (a *App) postMessage(w http.ResponseWriter, r *http.Request) error {
	body, err := httpapi.DecodeJSON[topicMessage](r)
	if err != nil {
		return err
	}
	if body.Seq != 0 || body.Time != nil {
		return httpapi.NewProblem(http.StatusBadRequest, "seq and time: these are given by the service.")
	}
	if body.Data == nil {
		return httpapi.NewProblem(http.StatusBadRequest, "data: send a JSON value.")
	}
	topic := r.PathValue("topic")
	ack, err := a.pubsub.Publish(r.Context(), pubsub.Message{Topic: topic, ID: body.ID, Type: body.Type, Data: body.Data})
	if err != nil {
		return pubsubProblem(err)
	}
	status := http.StatusCreated
	if ack.Duplicate {
		status = http.StatusOK
	}
	httpapi.WriteJSON(w, r, status, map[string]any{"topic": topic, "seq": ack.Seq, "duplicate": ack.Duplicate})
	return nil
}

// What one answer holds at most.
const (
	messagesLimit = 100
	messagesBytes = 1 << 20
)

var errPageFull = errors.New("the page is full")

// getMessages answers with the stored messages of a topic after a sequence, and
// with where to go on.
func (a *App) getMessages(w http.ResponseWriter, r *http.Request) error {
	topic := r.PathValue("topic")
	if err := pubsub.CheckTopic(topic); err != nil {
		return pubsubProblem(err)
	}
	var after uint64
	if s := r.URL.Query().Get("after"); s != "" {
		var err error
		if after, err = strconv.ParseUint(s, 10, 64); err != nil || after == math.MaxUint64 {
			return httpapi.NewProblem(http.StatusBadRequest, "after: must be a sequence number.")
		}
	}
	state, err := a.pubsub.State(r.Context())
	if err != nil {
		return pubsubProblem(err)
	}
	messages, size, next := []topicMessage{}, 0, after
	err = a.pubsub.Read(r.Context(), after, math.MaxUint64, func(m pubsub.Message) error {
		if len(messages) == messagesLimit || size+len(m.Data) > messagesBytes && size > 0 {
			return errPageFull
		}
		size += len(m.Data)
		next = m.Seq
		messages = append(messages, topicMessage{Seq: m.Seq, Time: &m.Time, ID: m.ID, Type: m.Type, Data: m.Data})
		return nil
	}, topic)
	if err != nil && !errors.Is(err, errPageFull) {
		return pubsubProblem(err)
	}
	httpapi.WriteJSON(w, r, http.StatusOK, map[string]any{
		"messages": messages,
		"next":     next,
		// A reader whose next is before oldest-1 may have missed messages.
		"oldest": state.First,
	})
	return nil
}

// pubsubProblem says in the API's words what a caller can do about err.
func pubsubProblem(err error) error {
	status := 0
	switch {
	case errors.Is(err, pubsub.ErrInvalid):
		status = http.StatusBadRequest
	case errors.Is(err, pubsub.ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, pubsub.ErrUnavailable):
		problem := httpapi.NewProblem(http.StatusServiceUnavailable, "Messages can't be stored or read at the moment; try again later.")
		problem.RetryAfter = time.Second
		return fmt.Errorf("%w: %w", problem, err)
	default:
		return err
	}
	return httpapi.NewProblem(status, err.Error())
}

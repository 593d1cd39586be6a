package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/retries"
	"example.com/orders/internal/workers"
)

// setupRetries has all jobs judged and retried by one policy, and mounts an
// example: webhooks that are delivered in spite of a receiver that fails.
func (a *App) setupRetries(s *settings) start {
	config := loadConfig[retries.Config](s)
	return func(context.Context) error {
		var err error
		a.retries, err = retries.New(config, mathrand.Float64, a.metrics)
		if err != nil {
			return err
		}
		a.workers.SetRetryPolicy(a.retries)
		a.workers.Use(a.retries.Middleware())
		a.life.OnStart("retries", func(context.Context) error {
			a.retries.Expect(a.workers.Kinds()...) // all are registered by now
			return nil
		})

		// A transport of its own, so that what it keeps open is closed with it.
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.Proxy = nil // a proxy would resolve the hosts anew
		a.life.OnStop("webhooks", func(context.Context) error {
			transport.CloseIdleConnections()
			return nil
		})
		deliverer := a.retries.Deliverer(otelhttp.NewTransport(transport,
			otelhttp.WithTracerProvider(a.tracing), otelhttp.WithPropagators(propagation.TraceContext{})))
		workers.Add(a.workers, deliverer)
		a.mux.Handle("POST /webhooks", a.postWebhook(deliverer))
		return nil
	}
}

// postWebhook takes a payload and a URL, and answers with the id of the job that
// delivers it.
func (a *App) postWebhook(deliverer *retries.Deliverer) httpapi.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		body, err := httpapi.DecodeJSON[struct {
			URL     string          `json:"url"`
			Payload json.RawMessage `json:"payload"`
		}](r)
		if err != nil {
			return err
		}
		if err := deliverer.Check(body.URL); err != nil {
			return httpapi.NewProblem(http.StatusBadRequest, err.Error())
		}
		if body.Payload == nil {
			return httpapi.NewProblem(http.StatusBadRequest, "payload: send a JSON value.")
		}
		result, err := a.workers.Enqueue(r.Context(), retries.Webhook{ID: rand.Text(), URL: body.URL, Payload: body.Payload}, nil)
		if err != nil {
			return err
		}
		httpapi.WriteJSON(w, r, http.StatusAccepted, map[string]string{"id": strconv.FormatInt(result.Job.ID, 10), "kind": result.Job.Kind})
		return nil
	}
}

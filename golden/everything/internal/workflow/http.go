package workflow

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"example.com/orders/internal/httpapi"
)

// retryAfter is when a caller may come again after the engine did not answer.
const retryAfter = 5 * time.Second

// pollAfter is when a caller may ask again how an order is doing.
const pollAfter = "1"

// Mount adds the routes below /fulfilments to mux.
func (f *Fulfilments) Mount(mux *http.ServeMux) {
	mux.Handle("POST /fulfilments", httpapi.Handler(f.handleStart))
	mux.Handle("GET /fulfilments/{id}", httpapi.Handler(f.handleGet))
	mux.Handle("POST /fulfilments/{id}/cancel", httpapi.Handler(f.handleCancel))
}

type eventJSON struct {
	Step   Step      `json:"step"`
	Detail string    `json:"detail,omitempty"`
	At     time.Time `json:"at"`
}

type fulfilmentJSON struct {
	Order
	Engine string  `json:"engine"`
	State  Outcome `json:"state"`
	Reason string  `json:"reason,omitempty"`
	// Step is what the engine says that it is at, or, where it does not answer or
	// the workflow has ended, what was done last.
	Step      string      `json:"step,omitempty"`
	CreatedAt time.Time   `json:"created_at"`
	UpdatedAt time.Time   `json:"updated_at"`
	History   []eventJSON `json:"history"`
}

func view(f Fulfilment) fulfilmentJSON {
	out := fulfilmentJSON{
		Order: f.Order, Engine: f.Engine, State: f.Outcome, Reason: f.Reason,
		CreatedAt: f.CreatedAt.UTC(), UpdatedAt: f.UpdatedAt.UTC(), History: []eventJSON{},
	}
	for _, e := range f.History {
		out.History = append(out.History, eventJSON{e.Step, e.Detail, e.At.UTC()})
		out.Step = string(e.Step)
	}
	return out
}

func (f *Fulfilments) handleStart(w http.ResponseWriter, r *http.Request) error {
	order, err := httpapi.DecodeJSON[Order](r)
	if err != nil {
		return err
	}
	if err := order.Validate(); err != nil {
		return httpapi.NewProblem(http.StatusUnprocessableEntity, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	known, err := f.Start(r.Context(), order)
	if err != nil {
		return problem(err)
	}
	w.Header().Set("Location", "/fulfilments/"+order.ID)
	w.Header().Set("Retry-After", pollAfter)
	httpapi.WriteJSON(w, r, http.StatusAccepted, view(known))
	return nil
}

func (f *Fulfilments) handleGet(w http.ResponseWriter, r *http.Request) error {
	known, err := f.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return problem(err)
	}
	out := view(known)
	if known.Outcome == Running {
		w.Header().Set("Retry-After", pollAfter)
		if known.Engine == EngineName {
			// What was done is known without the engine, which may be down.
			if at, err := f.Position(r.Context(), known.ID); err == nil && at != "" {
				out.Step = at
			}
		}
	}
	httpapi.WriteJSON(w, r, http.StatusOK, out)
	return nil
}

func (f *Fulfilments) handleCancel(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := f.Cancel(r.Context(), id); err != nil {
		return problem(err)
	}
	w.Header().Set("Location", "/fulfilments/"+id)
	w.Header().Set("Retry-After", pollAfter)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// problem tells callers what they can do about err.
func problem(err error) error {
	var p *httpapi.Problem
	switch {
	case errors.Is(err, ErrNotFound):
		p = httpapi.NewProblem(http.StatusNotFound, "There is no such order.")
	case errors.Is(err, ErrOther):
		p = httpapi.NewProblem(http.StatusConflict, "This order_id was used for another order; take a new one.")
	case errors.Is(err, ErrEnded):
		p = httpapi.NewProblem(http.StatusConflict, "It is too late to cancel this order.")
	case errors.Is(err, ErrEngine):
		p = httpapi.NewProblem(http.StatusServiceUnavailable, "The workflow engine does not answer; try again later with the same order_id.")
		p.RetryAfter = retryAfter
	default:
		return err
	}
	return errors.Join(p, err)
}

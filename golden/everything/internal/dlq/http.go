package dlq

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"example.com/orders/internal/httpapi"
)

// Mount mounts the operators' routes on mux. They show payloads and stacks, and
// take no credentials: they must not be reachable by the public. Requests that a
// browser makes for another site are refused.
func (q *Queue) Mount(mux *http.ServeMux) {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(httpapi.Handler(func(http.ResponseWriter, *http.Request) error {
		return httpapi.NewProblem(http.StatusForbidden, "Requests from other sites are refused.")
	}))
	mux.Handle("GET /dlq", httpapi.Handler(q.serveList))
	mux.Handle("GET /dlq/{id}", httpapi.Handler(q.serveGet))
	mux.Handle("DELETE /dlq/{id}", protection.Handler(httpapi.Handler(q.serveDiscard)))
	mux.Handle("POST /dlq/{id}/requeue", protection.Handler(httpapi.Handler(q.serveRequeue)))
	mux.Handle("POST /dlq/requeue", protection.Handler(httpapi.Handler(q.serveRequeueMany)))
}

func (q *Queue) serveList(w http.ResponseWriter, r *http.Request) error {
	params := r.URL.Query()
	limit := q.config.PageSize
	if s := params.Get("limit"); s != "" {
		var err error
		if limit, err = q.limit(s); err != nil {
			return err
		}
	}
	source := params.Get("source")
	if err := q.checkSource(source); err != nil {
		return err
	}
	page, err := q.List(r.Context(), source, params.Get("kind"), params.Get("cursor"), limit)
	if err != nil {
		return problem(err)
	}
	httpapi.WriteJSON(w, r, http.StatusOK, page)
	return nil
}

func (q *Queue) limit(s string) (int, error) {
	limit, err := strconv.Atoi(s)
	if err != nil || limit < 1 || limit > q.config.PageSize {
		return 0, httpapi.NewProblem(http.StatusBadRequest, fmt.Sprintf("limit: must be from 1 to %d.", q.config.PageSize))
	}
	return limit, nil
}

func (q *Queue) checkSource(source string) error {
	if source == "" || q.source(source) != nil {
		return nil
	}
	names := make([]string, 0, len(q.sources))
	for _, s := range q.sources {
		names = append(names, s.Name())
	}
	return httpapi.NewProblem(http.StatusBadRequest, fmt.Sprintf("source: there is no %q; the sources are %q.", source, names))
}

func (q *Queue) serveGet(w http.ResponseWriter, r *http.Request) error {
	letter, err := q.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return problem(err)
	}
	httpapi.WriteJSON(w, r, http.StatusOK, letter)
	return nil
}

func (q *Queue) serveDiscard(w http.ResponseWriter, r *http.Request) error {
	if err := q.Discard(r.Context(), r.PathValue("id")); err != nil {
		return problem(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (q *Queue) serveRequeue(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := q.Requeue(r.Context(), id); err != nil {
		return problem(err)
	}
	httpapi.WriteJSON(w, r, http.StatusAccepted, map[string]string{"id": id})
	return nil
}

func (q *Queue) serveRequeueMany(w http.ResponseWriter, r *http.Request) error {
	which, err := httpapi.DecodeJSON[struct {
		Source string `json:"source"`
		Kind   string `json:"kind"`
		Limit  *int   `json:"limit"`
	}](r)
	if err != nil {
		return err
	}
	limit := q.config.RequeueBurst
	if which.Limit != nil {
		limit = *which.Limit
	}
	if limit < 1 {
		return httpapi.NewProblem(http.StatusBadRequest, "limit: must be at least 1.")
	}
	if strings.ContainsRune(which.Kind, 0) { // no database takes it
		return httpapi.NewProblem(http.StatusBadRequest, "kind: must not have a zero byte.")
	}
	if err := q.checkSource(which.Source); err != nil {
		return err
	}
	done, err := q.RequeueMany(r.Context(), which.Source, which.Kind, limit)
	if err != nil {
		return problem(err)
	}
	httpapi.WriteJSON(w, r, http.StatusOK, done)
	return nil
}

// problem returns err as the operator sees it.
func problem(err error) error {
	var tooFast *TooFastError
	switch {
	case errors.Is(err, ErrNotFound):
		return httpapi.NewProblem(http.StatusNotFound, ErrNotFound.Error())
	case errors.Is(err, ErrNotDead):
		return httpapi.NewProblem(http.StatusConflict, ErrNotDead.Error())
	case errors.Is(err, ErrDuplicate):
		return httpapi.NewProblem(http.StatusConflict, ErrDuplicate.Error())
	case errors.Is(err, errCursor):
		return httpapi.NewProblem(http.StatusBadRequest, errCursor.Error())
	case errors.As(err, &tooFast):
		p := httpapi.NewProblem(http.StatusTooManyRequests, tooFast.Error())
		p.RetryAfter = tooFast.After
		return p
	}
	return err
}

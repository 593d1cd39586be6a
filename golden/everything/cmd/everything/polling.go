package main

import (
	"context"
	"errors"
	"net/http"
	"regexp"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/polling"
	"example.com/orders/internal/polling/scores"
	"example.com/orders/internal/server"
	"example.com/orders/internal/setting"
)

// maxMatches bounds what the example keeps in memory.
const maxMatches = 1000

// setupPolling builds what answers polls, and an example that uses it: the scores
// of matches.
func (a *App) setupPolling(s *settings) start {
	config := loadConfig[polling.Config](s)
	serverConfig := loadConfig[server.Config](s)
	s.refuseTogether(setting.Within("POLLING_WRITE_TIMEOUT", config.WriteTimeout, "HTTP_CLOSE_TIMEOUT", serverConfig.CloseTimeout,
		"or a stalled client holds up the shutdown"))
	return func(context.Context) error {
		a.polling = polling.New(config, a.log, a.metrics)
		a.life.OnDrain(a.polling.Drain)
		a.life.Go("polling", a.polling.Run)

		store := scores.New(maxMatches)
		board := scoreboard{store, a.polling.Resource(store)}
		a.mux.Handle("GET /scores/{id}", httpapi.Handler(board.get))
		a.mux.Handle("PUT /scores/{id}", httpapi.Handler(board.put))
		return nil
	}
}

// A scoreboard is the example: scores that are set, and polled.
type scoreboard struct {
	store  *scores.Store
	polled *polling.Resource
}

var matchID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// get answers with the score of a match. Whoever may call it sees it: where things
// are not for all, check here that this one is the caller's.
func (b scoreboard) get(w http.ResponseWriter, r *http.Request) error {
	err := b.polled.Serve(w, r, r.PathValue("id"))
	if errors.Is(err, polling.ErrNotFound) {
		return httpapi.NewProblem(http.StatusNotFound, "There is no score of this match.")
	}
	return err
}

func (b scoreboard) put(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if !matchID.MatchString(id) {
		return httpapi.NewProblem(http.StatusBadRequest, "A match's id is 1 to 64 letters, digits, - and _.")
	}
	score, err := httpapi.DecodeJSON[scores.Score](r)
	if err != nil {
		return err
	}
	if score.Home < 0 || score.Away < 0 {
		return httpapi.NewProblem(http.StatusBadRequest, "home, away: no score is less than 0.")
	}
	switch err := b.store.Put(id, score, polling.Allowed(r)); {
	case errors.Is(err, scores.ErrOther):
		return httpapi.NewProblem(http.StatusPreconditionFailed, "The match has another version than If-Match or If-None-Match says.")
	case err != nil:
		return httpapi.NewProblem(http.StatusConflict, "There are too many matches already.")
	}
	b.polled.Changed(id)
	httpapi.WriteJSON(w, r, http.StatusOK, score)
	return nil
}

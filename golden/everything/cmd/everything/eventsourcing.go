package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"example.com/orders/internal/eventsourcing"
	"example.com/orders/internal/eventsourcing/accounts"
	"example.com/orders/internal/httpapi"
)

// setupEventsourcing opens the log of events, and an example that lives by it:
// accounts, and transfers between them.
func (a *App) setupEventsourcing(s *settings) start {
	config := loadConfig[eventsourcing.Config](s)
	return func(ctx context.Context) error {
		types := eventsourcing.NewTypes()
		accounts.Register(types)
		var err error
		a.eventsourcing, err = eventsourcing.New(ctx, a.database, types, config, a.log, a.metrics, a.tracing)
		if err != nil {
			return err
		}
		bank := bankAPI{accounts.New(a.eventsourcing, a.database)}
		for _, p := range bank.Projections() {
			a.life.Go("eventsourcing "+p.Name, a.eventsourcing.Follow(p))
		}
		a.mux.Handle("POST /accounts", httpapi.Handler(bank.postAccount))
		a.mux.Handle("GET /accounts", httpapi.Handler(bank.getAccounts))
		a.mux.Handle("GET /accounts/{id}", httpapi.Handler(bank.getAccount))
		a.mux.Handle("GET /accounts/{id}/events", httpapi.Handler(bank.getHistory))
		a.mux.Handle("POST /accounts/{id}/deposits", httpapi.Handler(bank.postDeposit))
		a.mux.Handle("PUT /transfers/{id}", httpapi.Handler(bank.putTransfer))
		a.mux.Handle("GET /transfers/{id}", httpapi.Handler(bank.getTransfer))
		a.mux.Handle("POST /projections/{name}/rebuild", httpapi.Handler(a.postRebuild))
		return nil
	}
}

// postRebuild has a view worked out anew. Whoever may call it costs the database
// as much as all events do: check here who it is.
func (a *App) postRebuild(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	err := a.eventsourcing.Rebuild(r.Context(), name)
	if errors.Is(err, eventsourcing.ErrNoProjection) {
		return httpapi.NewProblem(http.StatusNotFound, fmt.Sprintf("There is no projection %q that can be rebuilt.", name))
	}
	if err != nil {
		return bankProblem(err)
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// A bankAPI is the bank over HTTP.
type bankAPI struct{ *accounts.Bank }

var bankID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func checkBankID(field, id string) error {
	if bankID.MatchString(id) {
		return nil
	}
	return httpapi.NewProblem(http.StatusBadRequest, field+": is 1 to 64 letters, digits, - and _.")
}

// maxCents keeps sums of many from overflowing.
const maxCents = 1_000_000_000_000

func checkCents(cents int64) error {
	if cents >= 1 && cents <= maxCents {
		return nil
	}
	return httpapi.NewProblem(http.StatusBadRequest, fmt.Sprintf("cents: must be 1 to %d.", int64(maxCents)))
}

// bankProblem is what callers are told of an error.
func bankProblem(err error) error {
	var p *httpapi.Problem
	switch {
	case errors.Is(err, accounts.ErrNotFound):
		p = httpapi.NewProblem(http.StatusNotFound, err.Error()+".")
	case errors.Is(err, accounts.ErrExists):
		p = httpapi.NewProblem(http.StatusConflict, err.Error()+".")
	case errors.Is(err, eventsourcing.ErrConflict):
		p = httpapi.NewProblem(http.StatusServiceUnavailable, "Too many change the same at once; try again later.")
		p.RetryAfter = time.Second
	case errors.Is(err, eventsourcing.ErrNewer):
		p = httpapi.NewProblem(http.StatusServiceUnavailable, "This instance is older than what it is to read; try again later.")
		p.RetryAfter = time.Second
	default:
		return err
	}
	return errors.Join(p, err)
}

func (b bankAPI) postAccount(w http.ResponseWriter, r *http.Request) error {
	body, err := httpapi.DecodeJSON[struct{ ID, Owner string }](r)
	if err != nil {
		return err
	}
	if err := checkBankID("id", body.ID); err != nil {
		return err
	}
	if body.Owner == "" || len(body.Owner) > 200 || strings.ContainsRune(body.Owner, 0) {
		return httpapi.NewProblem(http.StatusBadRequest, "owner: must have 1 to 200 bytes, none of them zero.")
	}
	account, err := b.Open(r.Context(), body.ID, body.Owner)
	if err != nil {
		return bankProblem(err)
	}
	w.Header().Set("Location", "/accounts/"+body.ID)
	httpapi.WriteJSON(w, r, http.StatusCreated, account)
	return nil
}

// getAccount answers from the account's own events, and is never behind.
func (b bankAPI) getAccount(w http.ResponseWriter, r *http.Request) error {
	account, err := b.Account(r.Context(), r.PathValue("id"))
	if err != nil {
		return bankProblem(err)
	}
	httpapi.WriteJSON(w, r, http.StatusOK, account)
	return nil
}

// bankPage is how many of a list are answered at once.
const bankPage = 100

// getAccounts answers from the view, which may be behind.
func (b bankAPI) getAccounts(w http.ResponseWriter, r *http.Request) error {
	balances, err := b.Balances(r.Context(), r.URL.Query().Get("after"), bankPage)
	if err != nil {
		return bankProblem(err)
	}
	httpapi.WriteJSON(w, r, http.StatusOK, map[string]any{"accounts": append([]accounts.Balance{}, balances...)})
	return nil
}

// A bankEvent is an event as callers see it.
type bankEvent struct {
	Version int64     `json:"version"`
	Type    string    `json:"type"`
	At      time.Time `json:"at"`
	Data    any       `json:"data"`
}

func (b bankAPI) getHistory(w http.ResponseWriter, r *http.Request) error {
	var after int64
	if text := r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || after < 0 {
			return httpapi.NewProblem(http.StatusBadRequest, "after: must be a version, 0 or more.")
		}
	}
	events, err := b.History(r.Context(), r.PathValue("id"), after, bankPage)
	if err != nil {
		return bankProblem(err)
	}
	shown := make([]bankEvent, len(events))
	for i, e := range events {
		shown[i] = bankEvent{e.Version, e.Type, e.At, e.Value}
	}
	httpapi.WriteJSON(w, r, http.StatusOK, map[string]any{"events": shown})
	return nil
}

func (b bankAPI) postDeposit(w http.ResponseWriter, r *http.Request) error {
	body, err := httpapi.DecodeJSON[struct {
		Cents int64 `json:"cents"`
	}](r)
	if err != nil {
		return err
	}
	if err := checkCents(body.Cents); err != nil {
		return err
	}
	account, err := b.Deposit(r.Context(), r.PathValue("id"), body.Cents)
	if err != nil {
		return bankProblem(err)
	}
	httpapi.WriteJSON(w, r, http.StatusOK, account)
	return nil
}

// putTransfer asks for a transfer. The caller names it, so that to ask again is to
// ask for the same.
func (b bankAPI) putTransfer(w http.ResponseWriter, r *http.Request) error {
	request, err := httpapi.DecodeJSON[accounts.Requested](r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	if err := errors.Join(checkBankID("id", id), checkBankID("from", request.From), checkBankID("to", request.To), checkCents(request.Cents)); err != nil {
		return err
	}
	if request.From == request.To {
		return httpapi.NewProblem(http.StatusBadRequest, "to: must be another account than from.")
	}
	transfer, err := b.Request(r.Context(), id, request)
	if err != nil {
		return bankProblem(err)
	}
	httpapi.WriteJSON(w, r, http.StatusAccepted, transfer)
	return nil
}

func (b bankAPI) getTransfer(w http.ResponseWriter, r *http.Request) error {
	transfer, err := b.Transfer(r.Context(), r.PathValue("id"))
	if err != nil {
		return bankProblem(err)
	}
	httpapi.WriteJSON(w, r, http.StatusOK, transfer)
	return nil
}

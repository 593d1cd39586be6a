package main

import (
	"context"
	"errors"
	"net/http"
	"regexp"

	"example.com/orders/internal/hashring"
	"example.com/orders/internal/hashring/documents"
	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/lifecycle"
	"example.com/orders/internal/server"
	"example.com/orders/internal/setting"
)

// setupHashring takes this instance's place on the ring, and mounts an example
// that uses it: documents that are edited in the memory of one instance each.
func (a *App) setupHashring(s *settings) start {
	config := loadConfig[hashring.Config](s)
	serverConfig := loadConfig[server.Config](s)
	life := loadConfig[lifecycle.Config](s)
	s.refuseTogether(setting.Check(config.Longest() <= serverConfig.WriteTimeout,
		"HASHRING_FORWARD_TIMEOUT=%s: after HASHRING_WAIT=%s an answer may take %s, which must not be more than HTTP_WRITE_TIMEOUT=%s, or the connection is closed before it",
		config.ForwardTimeout, config.Wait, config.Longest(), serverConfig.WriteTimeout))
	s.refuseTogether(setting.Within("HASHRING_LEAVE_TIMEOUT", config.LeaveTimeout, "SHUTDOWN_TIMEOUT", life.ShutdownTimeout,
		"or the time to stop is up before the state is handed over"))
	return func(ctx context.Context) error {
		shelf := documents.New(hashring.PartitionOf)
		// What another instance forwards is answered as what comes from outside.
		handler := server.Handler(a.mux, serverConfig.MaxBodyBytes, server.Deps{
			Log: a.log, Metrics: a.metrics, Tracing: a.tracing, Outage: a.outage,
		})
		var err error
		if a.hashring, err = hashring.Open(ctx, config, handler, a.log, a.metrics, a.tracing); err != nil {
			return err
		}
		a.hashring.Add("documents", shelf)
		a.life.OnStop("hashring", a.hashring.Close)
		a.life.OnDrain(a.hashring.Drain)
		a.life.Go("hashring", a.hashring.Run)
		a.life.OnReady("hashring", a.hashring.Ready)

		get := func(w http.ResponseWriter, r *http.Request) error { return a.getDocument(w, r, shelf) }
		edit := func(w http.ResponseWriter, r *http.Request) error { return a.postEdit(w, r, shelf) }
		a.mux.Handle("GET /documents/{id}", a.hashring.Handler(documentID, get))
		a.mux.Handle("POST /documents/{id}/edits", a.hashring.Handler(documentID, edit))
		return nil
	}
}

var documentIDs = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// documentID returns the key of a request: the document in its path.
func documentID(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !documentIDs.MatchString(id) {
		return "", httpapi.NewProblem(http.StatusBadRequest, "A document's id is 1 to 64 letters, digits, - and _.")
	}
	return id, nil
}

// A documentAnswer is a document, and the member that has it.
type documentAnswer struct {
	documents.Document
	Owner string `json:"owner"`
}

func (a *App) getDocument(w http.ResponseWriter, r *http.Request, shelf *documents.Shelf) error {
	id := r.PathValue("id")
	var document documents.Document
	err := a.hashring.Do(id, func() error {
		var ok bool
		if document, ok = shelf.Get(id); !ok {
			return httpapi.NewProblem(http.StatusNotFound, "There is no such document.")
		}
		return nil
	})
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, r, http.StatusOK, documentAnswer{document, a.hashring.Name()})
	return nil
}

// A documentEdit is what a caller adds to a document.
type documentEdit struct {
	Text string `json:"text"`
}

func (a *App) postEdit(w http.ResponseWriter, r *http.Request, shelf *documents.Shelf) error {
	edit, err := httpapi.DecodeJSON[documentEdit](r)
	if err != nil {
		return err
	}
	if n := len(edit.Text); n < 1 || n > documents.MaxText {
		return httpapi.NewProblem(http.StatusBadRequest, "text: must be 1 to 1024 bytes.")
	}
	id := r.PathValue("id")
	var document documents.Document
	err = a.hashring.Do(id, func() (err error) {
		document, err = shelf.Edit(id, edit.Text)
		return err
	})
	if errors.Is(err, documents.ErrFull) {
		return httpapi.NewProblem(http.StatusInsufficientStorage, "There is no room for another document.")
	}
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, r, http.StatusOK, documentAnswer{document, a.hashring.Name()})
	return nil
}

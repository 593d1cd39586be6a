package upload

import (
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"example.com/orders/internal/database"
	"example.com/orders/internal/httpapi"
)

// retryAfter is when a client may come again after the storage did not answer.
const retryAfter = 5 * time.Second

//go:embed demo.html
var demoPage []byte

//go:embed demo.js
var demoScript []byte

// Mount adds the routes below /uploads, and the demo page, to mux.
func (s *Uploads) Mount(mux *http.ServeMux) {
	mux.Handle("POST /uploads", httpapi.Handler(s.handleCreate))
	mux.Handle("GET /uploads/limits", httpapi.Handler(s.handleLimits))
	mux.Handle("GET /demo/upload", asset("text/html; charset=utf-8", demoPage))
	mux.Handle("GET /demo/upload.js", asset("text/javascript; charset=utf-8", demoScript))
	mux.Handle("GET /uploads/{id}", httpapi.Handler(s.handleGet))
	mux.Handle("DELETE /uploads/{id}", httpapi.Handler(s.handleCancel))
	mux.Handle("POST /uploads/{id}/parts", httpapi.Handler(s.handleSign))
	mux.Handle("POST /uploads/{id}/complete", httpapi.Handler(s.handleComplete))
}

type partJSON struct {
	Number int    `json:"number"`
	SHA256 string `json:"sha256"`
}

type requestJSON struct {
	Number    int               `json:"number,omitempty"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	ExpiresAt time.Time         `json:"expires_at"`
}

type uploadJSON struct {
	ID        string    `json:"id"`
	Status    Status    `json:"status"`
	Reason    string    `json:"reason,omitempty"`
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	Size      int64     `json:"size"`
	SHA256    string    `json:"sha256"`
	PartSize  int64     `json:"part_size,omitempty"`
	PartCount int       `json:"part_count"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	ExpiresAt time.Time `json:"expires_at"`
	// Parts are those that the storage has of a pending upload.
	Parts []partJSON `json:"parts,omitempty"`
	// Details are what others know of it.
	Details map[string]any `json:"details,omitempty"`
	// Request sends the file, where it is sent in one piece.
	Request *requestJSON `json:"request,omitempty"`
}

func view(u Upload) uploadJSON {
	return uploadJSON{
		ID: u.ID, Status: u.Status, Reason: u.Reason, Name: u.Name, Type: u.Type, Size: u.Size, SHA256: u.SHA256,
		PartSize: u.PartSize, PartCount: u.Parts(),
		CreatedAt: u.CreatedAt.UTC(), UpdatedAt: u.UpdatedAt.UTC(), ExpiresAt: u.ExpiresAt.UTC(),
	}
}

func viewRequest(number int, r Request) requestJSON {
	return requestJSON{Number: number, Method: r.Method, URL: r.URL, Headers: r.Headers, ExpiresAt: r.ExpiresAt.UTC().Truncate(time.Millisecond)}
}

func (s *Uploads) handleCreate(w http.ResponseWriter, r *http.Request) error {
	in, err := httpapi.DecodeJSON[struct {
		Name   string `json:"name"`
		Type   string `json:"type"`
		Size   int64  `json:"size"`
		SHA256 string `json:"sha256"`
	}](r)
	if err != nil {
		return err
	}
	u, err := s.Create(r.Context(), in.Name, in.Type, in.Size, in.SHA256)
	if err != nil {
		return problem(err)
	}
	out := view(u)
	if u.PartSize == 0 {
		whole := Part{Number: 1, SHA256: u.SHA256}
		requests, err := s.Sign(r.Context(), u, []Part{whole})
		if err != nil {
			s.abandon(r.Context(), u)
			return problem(err)
		}
		request := viewRequest(0, requests[0])
		out.Request = &request
	}
	w.Header().Set("Location", "/uploads/"+u.ID)
	httpapi.WriteJSON(w, r, http.StatusCreated, out)
	return nil
}

func (s *Uploads) handleLimits(w http.ResponseWriter, r *http.Request) error {
	httpapi.WriteJSON(w, r, http.StatusOK, map[string]any{
		"max_size": s.config.MaxSize, "part_size": s.config.PartSize, "types": s.config.Types,
	})
	return nil
}

func (s *Uploads) handleGet(w http.ResponseWriter, r *http.Request) error {
	u, err := s.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return problem(err)
	}
	parts, err := s.Received(r.Context(), u)
	if err != nil {
		return problem(err)
	}
	out := view(u)
	for _, p := range parts {
		out.Parts = append(out.Parts, partJSON(p))
	}
	for name, describe := range s.details {
		detail, err := describe(r.Context(), u)
		if err != nil {
			return err
		}
		if detail == nil {
			continue
		}
		if out.Details == nil {
			out.Details = make(map[string]any, len(s.details))
		}
		out.Details[name] = detail
	}
	httpapi.WriteJSON(w, r, http.StatusOK, out)
	return nil
}

func (s *Uploads) handleSign(w http.ResponseWriter, r *http.Request) error {
	in, err := httpapi.DecodeJSON[struct {
		Parts []partJSON `json:"parts"`
	}](r)
	if err != nil {
		return err
	}
	u, err := s.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return problem(err)
	}
	parts := make([]Part, 0, len(in.Parts))
	for _, p := range in.Parts {
		parts = append(parts, Part(p))
	}
	requests, err := s.Sign(r.Context(), u, parts)
	if err != nil {
		return problem(err)
	}
	out := make([]requestJSON, 0, len(requests))
	for i, request := range requests {
		out = append(out, viewRequest(parts[i].Number, request))
	}
	httpapi.WriteJSON(w, r, http.StatusOK, map[string]any{"parts": out})
	return nil
}

func (s *Uploads) handleComplete(w http.ResponseWriter, r *http.Request) error {
	u, err := s.Complete(r.Context(), r.PathValue("id"))
	if err != nil {
		return problem(err)
	}
	httpapi.WriteJSON(w, r, http.StatusOK, view(u))
	return nil
}

func (s *Uploads) handleCancel(w http.ResponseWriter, r *http.Request) error {
	if err := s.Cancel(r.Context(), r.PathValue("id")); err != nil {
		return problem(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// problem says an error in the API's words. What it does not know stays as it
// is.
func problem(err error) error {
	var (
		wrong  *InvalidError
		status *StatusError
	)
	switch {
	case errors.Is(err, ErrNotFound):
		return httpapi.NewProblem(http.StatusNotFound, "There is no such upload.")
	case errors.Is(err, ErrIncomplete):
		return httpapi.NewProblem(http.StatusConflict, sentence(err.Error())+" Send what is missing, and complete the upload again.")
	case errors.Is(err, ErrUnavailable):
		p := httpapi.NewProblem(http.StatusServiceUnavailable, "The storage does not answer; try again later. Nothing that was sent is lost.")
		p.RetryAfter = retryAfter
		return fmt.Errorf("%w (%w)", p, err)
	case database.IsOutage(err):
		p := httpapi.NewProblem(http.StatusServiceUnavailable, "Uploads can't be noted at the moment; try again later. Nothing that was sent is lost.")
		p.RetryAfter = retryAfter
		return fmt.Errorf("%w (%w)", p, err)
	case errors.As(err, &wrong):
		return httpapi.NewProblem(http.StatusUnprocessableEntity, wrong.Detail)
	case errors.As(err, &status) && status.Status == Failed:
		return httpapi.NewProblem(http.StatusUnprocessableEntity, "The upload failed: "+status.Reason+".")
	case errors.As(err, &status) && (status.Status == Aborted || status.Status == Deleted):
		return httpapi.NewProblem(http.StatusGone, sentence(status.Error()))
	case errors.As(err, &status):
		return httpapi.NewProblem(http.StatusConflict, sentence(status.Error()))
	}
	return err
}

// sentence makes a sentence of an error's text.
func sentence(text string) string {
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

func asset(mediaType string, body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", mediaType)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		// The page talks to the service and to whatever storage it is told.
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		_, _ = w.Write(body) // the client may have gone
	})
}

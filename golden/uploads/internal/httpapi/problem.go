// Package httpapi owns how the service's HTTP API speaks: JSON in, JSON out,
// and problem details (RFC 9457) when something is wrong.
//
// It knows no route and no part.
package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Problem is an error as the API's callers see it: RFC 9457 problem details.
// It is an error itself, so that the code below a handler can return one.
type Problem struct {
	// Type is a URI reference that names the kind of problem; empty means that
	// the status says it all.
	Type string `json:"type,omitempty"`
	// Title is the kind of problem in a few words; New sets the status's own.
	Title string `json:"title"`
	// Status is the HTTP status code.
	Status int `json:"status"`
	// Detail tells the caller what is wrong with this request, and what to do.
	Detail string `json:"detail,omitempty"`
	// RequestID is what to look for in the service's log.
	RequestID string `json:"request_id,omitempty"`
	// RetryAfter, when it is set, becomes the Retry-After header, in whole
	// seconds.
	RetryAfter time.Duration `json:"-"`
}

// NewProblem returns a problem with the status's own title.
func NewProblem(status int, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail}
}

// Error returns the detail, or the title where there is none.
func (p *Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

// A Handler is an HTTP handler that may return an error instead of an answer.
// The error is answered as [WriteError] does.
type Handler func(http.ResponseWriter, *http.Request) error

// ServeHTTP implements [http.Handler]. A path or query that is no text, because
// of a zero byte or of what is no UTF-8, is answered with 400: databases refuse
// it as an error.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := checkText(r.URL)
	if err == nil {
		err = h(w, r)
	}
	if err != nil {
		WriteError(w, r, err)
	}
}

func checkText(u *url.URL) error {
	if !isText(u.Path) {
		return NewProblem(http.StatusBadRequest, "The path must be UTF-8 without a zero byte.")
	}
	if isText(u.RawQuery) && !strings.Contains(u.RawQuery, "%") {
		return nil
	}
	for key, values := range u.Query() {
		for _, s := range append(values, key) {
			if !isText(s) {
				return NewProblem(http.StatusBadRequest, "The query must be UTF-8 without a zero byte.")
			}
		}
	}
	return nil
}

func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// WriteError answers with the [Problem] that err is or wraps. Any other error
// becomes 500, or 503 where the time for the request was up or something that
// the service needs is out ([Call.Outage]), and is told to the log only. A caller
// that has gone away gets nothing.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	call := callFrom(r.Context())
	call.Err = err
	var p Problem
	var known *Problem
	switch {
	case errors.As(err, &known):
		p = *known
	case errors.Is(r.Context().Err(), context.Canceled):
		return // the caller has gone away
	case errors.Is(err, context.DeadlineExceeded):
		p = *NewProblem(http.StatusServiceUnavailable, "The service did not answer in time; try again later.")
		p.RetryAfter = time.Second
	case call.Outage != nil && call.Outage(err):
		p = *NewProblem(http.StatusServiceUnavailable, "Something that the service needs does not answer; try again later.")
		p.RetryAfter = time.Second
	default:
		p = *NewProblem(http.StatusInternalServerError, "")
	}
	p.RequestID = call.ID
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Length")
	h.Del("Content-Encoding")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	body, encodeErr := json.Marshal(p)
	if encodeErr != nil { // A Problem is strings and numbers: it always encodes.
		body = []byte("{}")
	}
	writeBody(w, r, p.Status, body)
}

package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/orders/internal/httpapi"
)

// serve answers a request with the handler, within a call of id "r1".
func serve(t testing.TB, r *http.Request, h httpapi.Handler) (*httptest.ResponseRecorder, *httpapi.Call) {
	t.Helper()
	call := &httpapi.Call{ID: "r1"}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(httpapi.WithCall(r.Context(), call)))
	return w, call
}

func TestErrorsBecomeProblems(t *testing.T) {
	t.Parallel()
	limited := httpapi.NewProblem(http.StatusTooManyRequests, "Slow down.")
	limited.RetryAfter = 1500 * time.Millisecond
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx    context.Context
		err    error
		status int
		body   string
		retry  string
	}{
		"a problem":           {t.Context(), httpapi.NewProblem(http.StatusConflict, "It is taken."), 409, `{"title":"Conflict","status":409,"detail":"It is taken.","request_id":"r1"}`, ""},
		"a wrapped problem":   {t.Context(), fmt.Errorf("order 7: %w", httpapi.NewProblem(http.StatusGone, "")), 410, `{"title":"Gone","status":410,"request_id":"r1"}`, ""},
		"a time to come back": {t.Context(), limited, 429, `{"title":"Too Many Requests","status":429,"detail":"Slow down.","request_id":"r1"}`, "2"},
		"anything else":       {t.Context(), errors.New("password is hunter2"), 500, `{"title":"Internal Server Error","status":500,"request_id":"r1"}`, ""},
		"time is up":          {t.Context(), fmt.Errorf("query: %w", context.DeadlineExceeded), 503, `{"title":"Service Unavailable","status":503,"detail":"The service did not answer in time; try again later.","request_id":"r1"}`, "1"},
		"the caller is gone":  {gone, context.Canceled, 200, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, call := serve(t, httptest.NewRequestWithContext(tt.ctx, http.MethodGet, "/", nil), func(http.ResponseWriter, *http.Request) error { return tt.err })
			if diff := cmp.Diff(tt.body, strings.TrimSpace(w.Body.String())); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if w.Code != tt.status || w.Header().Get("Retry-After") != tt.retry {
				t.Errorf("status %d, Retry-After %q; want %d, %q", w.Code, w.Header().Get("Retry-After"), tt.status, tt.retry)
			}
			if tt.body != "" && w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("Content-Type %q", w.Header().Get("Content-Type"))
			}
			if !errors.Is(call.Err, tt.err) {
				t.Errorf("noted for the log: %v, want the whole error", call.Err)
			}
		})
	}
}

type order struct {
	Item  string    `json:"item"`
	Count int       `json:"count"`
	At    time.Time `json:"at,omitzero"`
}

func TestDecodeJSON(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		media, body string
		status      int
		detail      string
	}{
		"an order":             {"application/json; charset=utf-8", `{"item":"pen","count":2}`, 200, ""},
		"no media type":        {"", `{"item":"pen","count":2}`, 200, ""},
		"another media type":   {"text/plain", `{}`, 415, `The body is "text/plain"; send application/json.`},
		"no media type at all": {"json;;", `{}`, 415, `The body is "json;;"; send application/json.`},
		"an unknown field":     {"", `{"items":"pen"}`, 400, `The field "items" is unknown.`},
		"a wrong type":         {"", `{"count":"two"}`, 400, "count: a JSON string can't stand here."},
		"no time":              {"", `{"at":"soon"}`, 400, "A time in the body is not as in RFC 3339, such as 2030-01-31T12:00:00Z."},
		"no object":            {"", `[]`, 400, "A JSON array can't stand here."},
		"null":                 {"", ` null `, 400, "A JSON null can't stand here."},
		"no JSON":              {"", `{item}`, 400, "The body is no JSON: invalid character 'i' looking for beginning of object key string, at byte 2."},
		"nothing":              {"", ``, 400, "The body is empty; send a JSON value."},
		"no UTF-8":             {"", `{"item":"` + "\xff" + `"}`, 400, "The body is not UTF-8."},
		"half of it":           {"", `{"item":`, 400, "The body ends in the middle of a JSON value."},
		"two values":           {"", `{} {}`, 400, "The body holds more than one JSON value."},
		"too much":             {"", `{"item":"` + strings.Repeat("x", 100) + `"}`, 413, "The body is larger than 64 bytes."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.media)
			w, _ := serve(t, r, func(w http.ResponseWriter, r *http.Request) error {
				r.Body = http.MaxBytesReader(w, r.Body, 64)
				got, err := httpapi.DecodeJSON[order](r)
				if err != nil {
					return err
				}
				httpapi.WriteJSON(w, r, http.StatusOK, got)
				return nil
			})
			var answer struct{ Detail string }
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			if w.Code != tt.status || answer.Detail != tt.detail {
				t.Errorf("%d %q, want %d %q", w.Code, answer.Detail, tt.status, tt.detail)
			}
		})
	}
}

func TestWhatCanNotBeEncodedIsAnError(t *testing.T) {
	t.Parallel()
	w, call := serve(t, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), func(w http.ResponseWriter, r *http.Request) error {
		httpapi.WriteJSON(w, r, http.StatusOK, func() {})
		return nil
	})
	if w.Code != http.StatusInternalServerError || call.Err == nil {
		t.Errorf("%d, %v; want 500 and the error noted", w.Code, call.Err)
	}
}

// What databases refuse as text gets no further than here.
func TestPathsAndQueriesAreText(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.Handle("GET /things/{id}", httpapi.Handler(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}))
	for target, want := range map[string]int{
		"/things/a":                  http.StatusNoContent,
		"/things/%C3%A4%20?q=%C3%A4": http.StatusNoContent,
		"/things/a?q=100%":           http.StatusNoContent, // is no pair, and left out by all
		"/things/%00":                http.StatusBadRequest,
		"/things/a%FF":               http.StatusBadRequest,
		"/things/a?q=%00":            http.StatusBadRequest,
		"/things/a?a=b&q=%ff":        http.StatusBadRequest,
		"/things/a?%00=1":            http.StatusBadRequest,
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
		if w.Code != want {
			t.Errorf("%s: %d %s, want %d", target, w.Code, w.Body, want)
		}
	}
}

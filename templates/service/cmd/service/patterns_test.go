package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// newSet sets all parts up as someone else's program does.
func newSet(t *testing.T, more map[string]string) *Set {
	t.Helper()
	env := defaultEnv(t)
	maps.Copy(env, more)
	set, err := New(t.Context(), func(key string) string { return env[key] }, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = set.Close() }) // tests look at it where it matters
	return set
}

func TestASetServesInAnotherProgram(t *testing.T) {
	set := newSet(t, nil)
	if err := set.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the program's own") })
	mux.Handle("GET /dlq", set.Handler())
	mux.Handle("POST /jobs", set.Handler())
	for _, tt := range []struct{ method, path, body, want string }{
		{"GET", "/", "", "the program's own"},
		{"GET", "/dlq", "", `"letters":[]`},
		{"POST", "/jobs", `{`, "application/problem+json"},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(tt.body))
		r.Header.Set("Content-Type", "application/json")
		mux.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type") + w.Body.String(); !strings.Contains(got, tt.want) {
			t.Errorf("%s %s: %d %s, want %s in it", tt.method, tt.path, w.Code, got, tt.want)
		}
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/jobs", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	mux.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("a page of another origin: %d %s, want it refused", w.Code, w.Body)
	}
	if failed := set.Ready(t.Context()); len(failed) > 0 {
		t.Errorf("not ready: %v", failed)
	}
	families, err := set.Metrics().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "go_goroutines") {
			t.Error("the metrics hold the runtime's, which the program has itself")
		}
	}
	if err := set.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestASetThatNeverStarted(t *testing.T) {
	set := newSet(t, nil)
	if err := set.Close(); err != nil {
		t.Error(err)
	}
}

func TestASetEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	set := newSet(t, nil)
	set.life.OnStop("last", func(context.Context) error { return errors.New("stuck") })
	if err := set.Start(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-set.done
	if err := set.Close(); err == nil || !strings.Contains(err.Error(), "last: stuck") {
		t.Errorf("Close: %v, want what went wrong", err)
	}
}

func TestASetThatCannotStart(t *testing.T) {
	set := newSet(t, nil)
	set.life.OnStart("broken", func(context.Context) error { return errors.New("no route") })
	for call, err := range map[string]error{"Start": set.Start(t.Context()), "Close": set.Close()} {
		if err == nil || !strings.Contains(err.Error(), "broken: no route") {
			t.Errorf("%s: %v, want the starter's error", call, err)
		}
	}
}

func TestASetRefusesItsSettings(t *testing.T) {
	t.Parallel()
	_, err := New(t.Context(), func(key string) string {
		return map[string]string{"SHUTDOWN_TIMEOUT": "soon", "DATABASE_MIGRATIONS_TABLE": "a b"}[key]
	}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "SHUTDOWN_TIMEOUT") || !strings.Contains(err.Error(), "DATABASE_MIGRATIONS_TABLE") {
		t.Errorf("New: %v, want both variables named", err)
	}
}

func TestRoutesWithColons(t *testing.T) {
	t.Parallel()
	if got := (Route{"POST", "/dlq/{id}/requeue"}).Colons(); got != "/dlq/:id/requeue" {
		t.Error(got)
	}
}

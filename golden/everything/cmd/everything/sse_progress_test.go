package main

import (
	"net/http"
	"testing"

	"example.com/orders/internal/sse/ssetest"
)

// sseProgressWant reads a job's events up to the last word of its attempt. None
// goes back.
func sseProgressWant(t testing.TB, stream *ssetest.Stream, done int64) {
	t.Helper()
	for before := (progressAnswer{}); !before.AttemptEnded; {
		e, err := stream.Next()
		if err != nil {
			t.Fatal(err)
		}
		mustEqual(t, "the event's type", e.Type, "progress")
		p := progressParse(t, e.Data)
		if p.Done < before.Done || p.Attempt < before.Attempt {
			t.Errorf("went back from %+v to %+v", before, p)
		}
		if before = p; p.AttemptEnded {
			mustEqual(t, "done at the end", p.Done, done)
		}
	}
}

func TestSSEStreamsProgress(t *testing.T) {
	s := startService(t, map[string]string{"PROGRESS_IMPORT_PAUSE": "50ms"})
	at := s.URL + progressImport(t, s.URL, 3000)
	stream := ssetest.Open(t, at, "")
	sseProgressWant(t, stream, 3000)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/jobs/4711/progress", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, body := do(t, req)
	mustEqual(t, body, resp.StatusCode, http.StatusNotFound)
}

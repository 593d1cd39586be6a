package main

import (
	"testing"

	"example.com/everything/internal/websocket/websockettest"
)

// A socket gets a job's progress up to the last word of its attempt, and takes
// nothing.
func TestWebSocketSendsProgress(t *testing.T) {
	s := startService(t, map[string]string{"PROGRESS_IMPORT_PAUSE": "50ms"})
	socket := websockettest.Open(t, s.URL+progressImport(t, s.URL, 3000), "")
	if err := socket.Send("r1", "hello"); err != nil {
		t.Fatal(err)
	}
	refused := false
	for before := (progressAnswer{}); !before.AttemptEnded; {
		f, err := socket.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch f.Type {
		case "error":
			mustEqual(t, f.Detail, f.Ref, "r1")
			refused = true
			continue
		case "position":
			continue
		}
		mustEqual(t, "the frame's type", f.Type, "progress")
		p := progressParse(t, string(f.Data))
		if p.Done < before.Done || p.Attempt < before.Attempt {
			t.Errorf("went back from %+v to %+v", before, p)
		}
		if before = p; p.AttemptEnded {
			mustEqual(t, "done at the end", p.Done, 3000)
		}
	}
	mustEqual(t, "what was sent is refused", refused, true)
}

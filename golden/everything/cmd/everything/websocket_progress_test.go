package main

import (
	"testing"

	"example.com/orders/internal/websocket/websockettest"
)

// websocketProgressWant reads a job's updates up to the last word of its attempt. None
// goes back. It returns the errors that came between.
func websocketProgressWant(t testing.TB, socket *websockettest.Socket, done int64) (refused []string) {
	t.Helper()
	for before := (progressAnswer{}); !before.AttemptEnded; {
		f, err := socket.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch f.Type {
		case "error":
			refused = append(refused, f.Ref)
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
			mustEqual(t, "done at the end", p.Done, done)
		}
	}
	return refused
}

// A socket gets a job's progress up to the last word of its attempt, and takes
// nothing.
func TestWebSocketSendsProgress(t *testing.T) {
	s := startService(t, map[string]string{"PROGRESS_IMPORT_PAUSE": "50ms"})
	socket := websockettest.Open(t, s.URL+progressImport(t, s.URL, 3000), "")
	if err := socket.Send("r1", "hello"); err != nil {
		t.Fatal(err)
	}
	refused := websocketProgressWant(t, socket, 3000)
	if len(refused) != 1 || refused[0] != "r1" {
		t.Errorf("%q was refused, want what was sent", refused)
	}
}

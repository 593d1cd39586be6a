package sse

import (
	"net/http"
	"testing"
)

func TestWanted(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"":                                 false,
		"*/*":                              false,
		"text/event-stream":                true,
		"TEXT/Event-Stream; charset=utf-8": true,
		"text/event-stream, */*":           true,
		"text/event-streamx":               false,
		"text/event-stream;q=0":            false,
		"text/event-stream;q=x":            false,
		"application/json, text/event-stream;q=0.1":     false,
		"application/json;q=0.5, text/event-stream;q=1": true,
		"text/;, text/event-stream":                     true,
	} {
		if got := Wanted(&http.Request{Header: http.Header{"Accept": {accept}}}); got != want {
			t.Errorf("Accept: %s: %t", accept, got)
		}
	}
}

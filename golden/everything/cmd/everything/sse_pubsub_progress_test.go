package main

import (
	"testing"

	"example.com/orders/internal/pubsub/pubsubtest"
	"example.com/orders/internal/sse/ssetest"
)

// Two instances share a database and a bus. Whichever works a job, clients of both
// see its progress.
func TestSSEStreamsProgressOfAnotherInstance(t *testing.T) {
	env := pubsubtest.Env(t)
	env["NATS_URL"] = pubsubtest.StartServer(t).URL
	env["PROGRESS_IMPORT_PAUSE"] = "50ms"
	a := startService(t, env)
	b := startService(t, a.Env)
	at := progressImport(t, a.URL, 3000)
	streams := []*ssetest.Stream{ssetest.Open(t, a.URL+at, ""), ssetest.Open(t, b.URL+at, "")}
	for _, stream := range streams {
		sseProgressWant(t, stream, 3000)
	}
}

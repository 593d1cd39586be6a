package main

import (
	"testing"

	"example.com/orders/internal/pubsub/pubsubtest"
	"example.com/orders/internal/websocket/websockettest"
)

// Two instances share a database and a bus. Whichever works a job, sockets of both
// are sent its progress.
func TestWebSocketSendsProgressOfAnotherInstance(t *testing.T) {
	env := pubsubtest.Env(t)
	env["NATS_URL"] = pubsubtest.StartServer(t).URL
	env["PROGRESS_IMPORT_PAUSE"] = "50ms"
	a := startService(t, env)
	b := startService(t, a.Env)
	at := progressImport(t, a.URL, 3000)
	sockets := []*websockettest.Socket{websockettest.Open(t, a.URL+at, ""), websockettest.Open(t, b.URL+at, "")}
	for _, socket := range sockets {
		websocketProgressWant(t, socket, 3000)
	}
}

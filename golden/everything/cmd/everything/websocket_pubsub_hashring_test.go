package main

import (
	"testing"

	"example.com/orders/internal/pubsub/pubsubtest"
	"example.com/orders/internal/websocket/websockettest"
)

// Rooms on pub/sub and sticky rooms of the same names have nothing to do with each
// other: what is said is heard once, in the one it was said in, whichever instance
// it was said and heard by way of.
func TestWebSocketPubsubBesideHashring(t *testing.T) {
	env := pubsubtest.Env(t)
	env["NATS_URL"] = pubsubtest.StartServer(t).URL
	for name, value := range hashringEnv(t) {
		env[name] = value
	}
	instances := []*testService{startService(t, hashringFirst(env)), startService(t, env)}
	for _, s := range instances {
		hashringMembers(t, s.URL, 2)
	}
	var rooms, sticky []*websockettest.Socket
	for _, s := range instances {
		rooms = append(rooms, websockettest.Open(t, s.URL+"/rooms/42/socket", ""))
		sticky = append(sticky, websockettest.Open(t, s.URL+"/sticky/42/socket", ""))
	}
	for _, s := range instances {
		websocketSay(t, s.URL, "42", "on the bus")
		stickySay(t, s.URL, "42", "sticky")
	}
	websocketSay(t, instances[0].URL, "42", "end")
	stickySay(t, instances[1].URL, "42", "end")
	for i := range instances {
		websocketWant(t, rooms[i], "on the bus", "on the bus", "end")
		websocketWant(t, sticky[i], "sticky", "sticky", "end")
	}
}

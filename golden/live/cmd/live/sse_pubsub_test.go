package main

import (
	"fmt"
	"net/http"
	"testing"

	"example.com/orders/internal/pubsub/pubsubtest"
	"example.com/orders/internal/sse/ssetest"
	"example.com/orders/internal/waittest"
)

// twoInstances starts the service twice on one NATS server.
func twoInstances(t testing.TB, more map[string]string) (server *pubsubtest.Server, a, b *testService) {
	t.Helper()
	server = pubsubtest.StartServer(t)
	env := pubsubtest.Env(t)
	env["NATS_URL"] = server.URL
	for k, v := range more {
		env[k] = v
	}
	return server, startService(t, env), startService(t, env)
}

// A client goes from one instance to the other and back while both publish. It
// sees each event once, in order, whether the window still has it or not.
func TestSSEClientResumesOnAnotherInstance(t *testing.T) {
	for _, window := range []string{"4096", "3"} {
		t.Run("window "+window, func(t *testing.T) {
			_, a, b := twoInstances(t, map[string]string{"SSE_WINDOW_EVENTS": window})
			instances := []string{a.URL, b.URL}
			stream := ssetest.Open(t, a.URL+"/orders/42/events", "")
			if err := stream.Position(); err != nil {
				t.Fatal(err)
			}
			sent, seen := 0, 0
			for hop := range 10 {
				for range 5 {
					sseSetStatus(t, instances[sent%2], "42", fmt.Sprintf("step %d", sent))
					sseSetStatus(t, instances[sent%2], "1", "another order")
					sent++
				}
				for range 3 { // and two are missed, or on their way, at each hop
					sseWant(t, stream, fmt.Sprintf("step %d", seen))
					seen++
				}
				stream.Close()
				stream = ssetest.Open(t, instances[(hop+1)%2]+"/orders/42/events", stream.LastID)
			}
			for ; seen < sent; seen++ {
				sseWant(t, stream, fmt.Sprintf("step %d", seen))
			}
		})
	}
}

// The service is killed and starts again with what its own server has stored: a
// client misses nothing, far outside of the window too.
func TestSSEResumesAfterAKill(t *testing.T) {
	first := startProcess(t, map[string]string{"SSE_WINDOW_EVENTS": "10"})
	stream := ssetest.Open(t, first.URL+"/orders/42/events", "")
	if err := stream.Position(); err != nil {
		t.Fatal(err)
	}
	sseSetStatus(t, first.URL, "42", "step 0")
	sseWant(t, stream, "step 0")
	stream.Close()
	for i := 1; i < 100; i++ {
		sseSetStatus(t, first.URL, "42", fmt.Sprintf("step %d", i))
	}
	first.Kill()
	second := startProcess(t, first.Env)
	again := ssetest.Open(t, second.URL+"/orders/42/events", stream.LastID)
	for i := 1; i < 100; i++ {
		sseWant(t, again, fmt.Sprintf("step %d", i))
	}
	sseSetStatus(t, second.URL, "42", "the next")
	sseWant(t, again, "the next")
	fresh := ssetest.Open(t, second.URL+"/orders/42/events", "")
	if err := fresh.Position(); err != nil {
		t.Fatal(err)
	}
	sseSetStatus(t, second.URL, "42", "for both")
	sseWant(t, again, "for both")
	sseWant(t, fresh, "for both")
}

// What the limits have taken away can't be replayed: the client is told.
func TestSSEResetsWhereTheStreamBegins(t *testing.T) {
	s := startService(t, map[string]string{"SSE_WINDOW_EVENTS": "2", "PUBSUB_MAX_BYTES": "40000", "PUBSUB_MAX_MESSAGE_BYTES": "20000"})
	stream := ssetest.Open(t, s.URL+"/orders/42/events", "")
	if err := stream.Position(); err != nil {
		t.Fatal(err)
	}
	stream.Close()
	for i := range 600 {
		sseSetStatus(t, s.URL, "42", fmt.Sprintf("step %d", i))
	}
	again := ssetest.Open(t, s.URL+"/orders/42/events", stream.LastID)
	e, err := again.Next()
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "the event's type", e.Type, "reset")
	mustEqual(t, "the event", e.Data, `{"reason":"expired"}`)
	sseSetStatus(t, s.URL, "42", "the next")
	for e.Data != `{"status":"the next"}` { // the last of the 600 may still have been on their way
		if e, err = again.Next(); err != nil || e.Type != "status" {
			t.Fatalf("got %+v, %v", e, err)
		}
	}
}

// NATS goes away and comes back: streams stay open and get what follows;
// publishing fails meanwhile, and says so. When it comes back empty, clients
// are told to begin anew.
func TestSSEOverAnOutageOfNATS(t *testing.T) {
	server, a, b := twoInstances(t, map[string]string{"PUBSUB_PUBLISH_TIMEOUT": "300ms"})
	stream := ssetest.Open(t, b.URL+"/orders/42/events", "")
	if err := stream.Position(); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	status, body := send(t, http.MethodPut, a.URL+"/orders/42/status", `{"status":"lost"}`)
	mustEqual(t, body, status, http.StatusServiceUnavailable)
	server.Start()
	putEventually := func(status string) {
		waittest.Until(t, func() error {
			code, body := send(t, http.MethodPut, a.URL+"/orders/42/status", fmt.Sprintf(`{"status":%q}`, status))
			if code != http.StatusOK {
				return fmt.Errorf("%d %s", code, body)
			}
			return nil
		})
	}
	putEventually("back")
	sseWant(t, stream, "back")

	server.Stop()
	server.Wipe()
	server.Start()
	for { // until the break is noticed, what comes may still come
		if _, err := stream.Next(); err != nil {
			break
		}
	}
	again := ssetest.Open(t, b.URL+"/orders/42/events", stream.LastID)
	e, err := again.Next()
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "the event's type", e.Type, "reset")
	putEventually("anew")
	sseWant(t, again, "anew")
}

func TestSSEPubsubContradictions(t *testing.T) {
	refuseTogether(t, map[string]string{"SSE_MAX_EVENT_BYTES": "262145"}, "SSE_MAX_EVENT_BYTES=262145: must not be more than PUBSUB_MAX_MESSAGE_BYTES=262144")
	refuseTogether(t, map[string]string{"SSE_MAX_EVENT_BYTES": "262144"}, "")
}

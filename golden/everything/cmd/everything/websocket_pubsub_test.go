package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/orders/internal/pubsub/pubsubtest"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/websocket/websockettest"
)

// A client goes from one instance to the other and back while messages come from
// both. It sees each once, in order, whether the window still has it or not.
func TestWebSocketClientResumesOnAnotherInstance(t *testing.T) {
	for _, window := range []string{"4096", "3"} {
		t.Run("window "+window, func(t *testing.T) {
			env := pubsubtest.Env(t)
			env["NATS_URL"], env["WEBSOCKET_WINDOW_MESSAGES"] = pubsubtest.StartServer(t).URL, window
			instances := []string{startService(t, env).URL, startService(t, env).URL}
			socket := websockettest.Open(t, instances[0]+"/rooms/42/socket", "")
			sent, seen := 0, 0
			for hop := range 10 {
				for range 5 {
					websocketSay(t, instances[sent%2], "42", strconv.Itoa(sent))
					websocketSay(t, instances[sent%2], "1", "another room")
					sent++
				}
				for range 3 { // and two are missed, or on their way, at each hop
					websocketWant(t, socket, strconv.Itoa(seen))
					seen++
				}
				socket.Cut()
				socket = websockettest.Open(t, instances[(hop+1)%2]+"/rooms/42/socket", socket.Token)
			}
			for ; seen < sent; seen++ {
				websocketWant(t, socket, strconv.Itoa(seen))
			}
		})
	}
}

// One of two processes on a cluster of three is killed while clients on it read
// and write. They go on with the other: nothing is lost or repeated, and what
// was accepted is there.
func TestWebSocketOverAKillOfAnInstance(t *testing.T) {
	const readers, messages = 10, 300
	env := pubsubtest.Env(t)
	env["NATS_URL"], env["PUBSUB_REPLICAS"] = pubsubtest.URLs(pubsubtest.StartCluster(t)), "3"
	env["WEBSOCKET_RATE"], env["WEBSOCKET_BURST"] = "100000", "100000" // it sends as fast as it is answered
	first, second := startProcess(t, env), startProcess(t, env)
	begin := websockettest.Open(t, second.URL+"/rooms/42/socket", "").Token

	var clients sync.WaitGroup
	var killed atomic.Bool
	for c := range readers {
		clients.Go(func() {
			seen, token := 0, begin
			for _, instance := range []*serviceProcess{first, second} {
				socket, _, err := websockettest.Dial(instance.URL+"/rooms/42/socket", token, nil)
				for ; err == nil && seen < messages; seen++ {
					var text string
					if text, err = websocketNext(socket); err != nil {
						break
					}
					if text != strconv.Itoa(seen) {
						t.Errorf("reader %d got %q, want %d", c, text, seen)
					}
				}
				if socket != nil {
					token = socket.Token
					socket.Cut()
				}
				if instance == first && !killed.Load() || instance == second && seen < messages {
					t.Errorf("reader %d has %d messages: %v", c, seen, err)
				}
			}
		})
	}
	accepted := make(map[string]bool)
	clients.Go(func() {
		socket, _, err := websockettest.Dial(first.URL+"/rooms/7/socket", "", nil)
		for i := 0; err == nil; i++ {
			if err = socket.Send(strconv.Itoa(i), chatMessage{From: "me", Text: strconv.Itoa(i)}); err != nil {
				break
			}
			var f websockettest.Frame
			for f.Type != "accepted" && err == nil {
				f, err = socket.Next()
			}
			if err == nil {
				accepted[f.Ref] = true
			}
		}
		if !killed.Load() {
			t.Errorf("the writer: %v", err)
		}
	})
	for i := range messages {
		if i == messages/3 {
			killed.Store(true)
			first.Kill()
		}
		websocketSay(t, second.URL, "42", strconv.Itoa(i))
	}
	clients.Wait()

	if len(accepted) == 0 {
		t.Fatal("nothing was accepted before the kill")
	}
	again := websockettest.Open(t, second.URL+"/rooms/7/socket", begin)
	for range len(accepted) {
		text, err := websocketNext(again)
		if err != nil {
			t.Fatal(err)
		}
		delete(accepted, text)
	}
	if len(accepted) > 0 {
		t.Errorf("accepted and lost: %v", accepted)
	}
}

// The service is killed and starts again with what its own server has stored: a
// client misses nothing, far outside of the window too.
func TestWebSocketResumesAfterAKill(t *testing.T) {
	first := startProcess(t, map[string]string{"WEBSOCKET_WINDOW_MESSAGES": "10"})
	socket := websockettest.Open(t, first.URL+"/rooms/42/socket", "")
	socket.Cut()
	for i := range 100 {
		websocketSay(t, first.URL, "42", strconv.Itoa(i))
	}
	first.Kill()
	second := startProcess(t, first.Env)
	again := websockettest.Open(t, second.URL+"/rooms/42/socket", socket.Token)
	for i := range 100 {
		websocketWant(t, again, strconv.Itoa(i))
	}
	websocketSay(t, second.URL, "42", "the next")
	websocketWant(t, again, "the next")
}

// NATS goes away and comes back: sockets stay open and get what follows; what a
// client sends meanwhile is refused, and it is told. When NATS comes back empty,
// clients are told to begin anew.
func TestWebSocketOverAnOutageOfNATS(t *testing.T) {
	server := pubsubtest.StartServer(t)
	env := pubsubtest.Env(t)
	env["NATS_URL"], env["PUBSUB_PUBLISH_TIMEOUT"] = server.URL, "300ms"
	a, b := startService(t, env), startService(t, env)
	socket := websockettest.Open(t, b.URL+"/rooms/42/socket", "")
	server.Stop()
	if err := socket.Send("r", chatMessage{From: "me", Text: "lost"}); err != nil {
		t.Fatal(err)
	}
	f, err := socket.Next()
	if err != nil || f.Type != "error" || f.Ref != "r" || f.Status != http.StatusServiceUnavailable {
		t.Fatalf("got %+v, %v", f, err)
	}
	sayEventually := func(text string) {
		waittest.Until(t, func() error {
			code, body := send(t, http.MethodPost, a.URL+"/rooms/42/messages", fmt.Sprintf(`{"from":"test","text":%q}`, text))
			if code != http.StatusCreated {
				return errors.New(body)
			}
			return nil
		})
	}
	server.Start()
	sayEventually("back")
	websocketWant(t, socket, "back")

	server.Stop()
	server.Wipe()
	server.Start()
	for { // until the break is noticed, what comes may still come
		if _, err := socket.Next(); err != nil {
			mustEqual(t, "the code", websockettest.Code(err), 1011)
			break
		}
	}
	again := websockettest.Open(t, b.URL+"/rooms/42/socket", socket.Token)
	if f, err = again.Next(); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "the frame", f.Type+" "+f.Reason, "reset unknown")
	sayEventually("anew")
	websocketWant(t, again, "anew")
}

func TestWebSocketPubsubContradictions(t *testing.T) {
	refuseTogether(t, map[string]string{"WEBSOCKET_MAX_MESSAGE_BYTES": "262145"}, "WEBSOCKET_MAX_MESSAGE_BYTES=262145: must not be more than PUBSUB_MAX_MESSAGE_BYTES=262144")
	refuseTogether(t, map[string]string{"PUBSUB_PUBLISH_TIMEOUT": "11s"}, "PUBSUB_PUBLISH_TIMEOUT=11s: must not be more than WEBSOCKET_PONG_TIMEOUT=10s")
	refuseTogether(t, map[string]string{"WEBSOCKET_MAX_MESSAGE_BYTES": "262144"}, "")
}

package websocket

import (
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"
	"pgregory.net/rapid"
)

func TestWindowForgetsByAge(t *testing.T) {
	t.Parallel()
	start := time.Now()
	w := newWindow(10, time.Minute)
	for i := range 5 {
		w.add(&frame{seq: uint64(i + 1), room: "a", at: start.Add(time.Duration(i) * 20 * time.Second)})
	}
	w.expire(start.Add(time.Minute))
	if w.floor != 0 || w.count != 5 {
		t.Errorf("after a minute: floor %d, %d messages, want 0 and 5", w.floor, w.count)
	}
	w.expire(start.Add(101 * time.Second))
	if w.floor != 3 || w.count != 2 {
		t.Errorf("after 101 s: floor %d, %d messages, want 3 and 2", w.floor, w.count)
	}
}

// Whatever order clients come, read, fall behind and come back in: each gets
// every message of its room after its position, once and in order, and a reset
// only where a message after its position has left the window.
func TestNothingIsLostOrRepeatedInsideTheWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		config := testConfig()
		config.WindowMessages = rapid.IntRange(1, 20).Draw(t, "window")
		config.QueueMessages = rapid.IntRange(1, 5).Draw(t, "queue")
		h, err := New(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), noop.NewTracerProvider())
		if err != nil {
			t.Fatal(err)
		}
		said := map[string][]uint64{} // the sequences of each room
		last := uint64(0)
		readers := make([]*modelReader, 4)
		for i := range readers {
			readers[i] = &modelReader{hub: h, room: []string{"a", "b"}[i%2]}
		}
		someone := rapid.SampledFrom(readers)
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				room := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "room")
				if _, err := h.Publish(t.Context(), Message{Room: room, Data: json.RawMessage("0")}); err != nil {
					t.Fatal(err)
				}
				last++
				said[room] = append(said[room], last)
			},
			"come":  func(t *rapid.T) { someone.Draw(t, "who").come() },
			"leave": func(t *rapid.T) { someone.Draw(t, "who").leave() },
			"read":  func(t *rapid.T) { someone.Draw(t, "who").read(t, said, last, config) },
			"idle": func(*rapid.T) {
				for _, r := range readers {
					if r.live {
						r.at = h.idle(r.client).seq
					}
				}
			},
		})
		for _, r := range readers { // in the end all have all
			for r.came && r.behind(said) || !r.live {
				r.come()
				r.read(t, said, last, config)
			}
		}
	})
}

// A modelReader does what a socket does, without one.
type modelReader struct {
	hub    *Hub
	room   string
	client *client // nil while it is away
	live   bool
	came   bool   // it has been there before
	at     uint64 // its resume token
}

func (r *modelReader) come() {
	if r.client != nil {
		return
	}
	at := r.hub.position()
	if r.came {
		at.seq = r.at
	}
	r.client = &client{room: r.room, at: at, wake: make(chan struct{}, 1)}
	r.came, r.at = true, at.seq
}

func (r *modelReader) leave() {
	if r.client != nil {
		r.hub.mu.Lock()
		r.hub.leave(r.client)
		r.hub.mu.Unlock()
		r.client, r.live = nil, false
	}
}

// read takes one step of what is owed to it.
func (r *modelReader) read(t *rapid.T, said map[string][]uint64, last uint64, config Config) {
	if r.client == nil {
		return
	}
	var frames []*frame
	if r.live {
		var ended string
		if frames, ended = r.client.take(nil); ended != "" {
			if ended != endSlow {
				t.Fatalf("ended as %s", ended)
			}
			r.leave()
			return
		}
	} else {
		var err error
		frames, r.live, _, err = r.hub.catchUp(r.client, make([]*frame, 0, 3))
		if errors.Is(err, errExpired) {
			if int(last)-int(r.at) <= config.WindowMessages {
				t.Fatalf("reset at %d of %d, in a window of %d", r.at, last, config.WindowMessages)
			}
			r.at = last
			r.client.at.seq = last
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.live && r.behind(said) {
			t.Fatalf("let in at %d, with messages missed", r.at)
		}
	}
	for _, f := range frames {
		want := uint64(0)
		for _, seq := range said[r.room] {
			if seq > r.at {
				want = seq
				break
			}
		}
		if f.seq != want {
			t.Fatalf("got %d after %d, want %d", f.seq, r.at, want)
		}
		r.at, r.client.at.seq = f.seq, f.seq
	}
}

// behind reports whether its room has a message after its position.
func (r *modelReader) behind(said map[string][]uint64) bool {
	room := said[r.room]
	return len(room) > 0 && room[len(room)-1] > r.at
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// A world is what clients and publisher share.
type world struct {
	services [2]*service
	killed   atomic.Value // time.Time, when the first service was
	seen     *tally
}

// A tally is what all clients saw together.
type tally struct {
	mu         sync.Mutex
	published  [2][]int             // by kind and topic
	at         map[string]time.Time // when an event was sent off
	deliveries int
	took       []time.Duration
	back       []time.Duration
	lost       int
	repeated   int
	resets     int
}

func newTally(topics int) *tally {
	return &tally{
		published: [2][]int{make([]int, topics), make([]int, topics)},
		at:        make(map[string]time.Time),
	}
}

func key(kind, topic, number int) string { return fmt.Sprint(kind, "/", topic, "/", number) }

// send notes when an event is sent off.
func (t *tally) send(kind, topic, number int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at[key(kind, topic, number)] = time.Now()
}

// publish notes an event that was accepted.
func (t *tally) publish(kind, topic int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.published[kind][topic]++
}

// see notes that a client got an event after another one.
func (t *tally) see(kind, topic, before, number int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deliveries++
	if sent, ok := t.at[key(kind, topic, number)]; ok {
		t.took = append(t.took, time.Since(sent))
	}
	switch {
	case number <= before:
		t.repeated++
	case number > before+1:
		t.lost += number - before - 1
	}
}

// settled waits until every client has the last event of its topic.
func (w *world) settled(ctx context.Context, o options) error {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		w.seen.mu.Lock()
		want := 0
		for i := range 2 * o.clients {
			kind := 0
			if i/2*100/o.clients < o.sockets {
				kind = 1
			}
			want += w.seen.published[kind][i/2%o.topics]
		}
		got := w.seen.deliveries
		w.seen.mu.Unlock()
		if got >= want {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d deliveries after two minutes", got, want)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// A client follows one topic, on whichever service is there.
type client struct {
	*world
	at     int  // the service
	doomed bool // it begins at the one that is killed
	topic  int
	socket bool

	token string // to come back with
	last  int    // the last event's number
}

// run stays connected until ctx ends. It sends on opened once it is, or can't be.
func (c *client) run(ctx context.Context, slots chan struct{}, opened chan<- error) {
	for opens := 0; ctx.Err() == nil; {
		slots <- struct{}{}
		free := sync.OnceFunc(func() { <-slots })
		err := c.connect(ctx, func() {
			free()
			if opens++; opens == 1 {
				opened <- nil
			}
			if c.doomed && c.at == 1 {
				c.doomed = false
				c.seen.returned(time.Since(c.killed.Load().(time.Time)))
			}
		})
		free()
		if opens == 0 {
			opened <- err
			return
		}
		if c.doomed && c.killed.Load() != nil {
			c.at = 1
		}
		select { // as far apart as a browser's clients are told to come back
		case <-ctx.Done():
		case <-time.After(rand.N(time.Second)): // #nosec G404 -- it only spreads clients
		}
	}
}

// returned notes that a client of the dead process is back.
func (t *tally) returned(after time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.back = append(t.back, after)
}

func (c *client) connect(ctx context.Context, open func()) error {
	if c.socket {
		return c.webSocket(ctx, open)
	}
	return c.stream(ctx, open)
}

// transport has a connection for each stream.
var transport = &http.Transport{DisableKeepAlives: true}

func (c *client) stream(ctx context.Context, open func()) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/orders/%d/events", c.services[c.at].url, c.topic), nil)
	if err != nil {
		return err
	}
	if c.token != "" {
		req.Header.Set("Last-Event-ID", c.token)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	var event, data string
	first := true
	for lines := bufio.NewReader(resp.Body); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			c.token = value
		case "event":
			event = value
		case "data":
			data = value
		case "":
			if first && c.token != "" { // the position, with which the stream begins
				first = false
				open()
			}
			c.got(event, []byte(data), "status")
			event, data = "", ""
		}
	}
}

func (c *client) webSocket(ctx context.Context, open func()) error {
	url := fmt.Sprintf("%s/rooms/%d/socket", c.services[c.at].url, c.topic)
	if c.token != "" {
		url += "?resume=" + c.token
	}
	conn, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close() // its answer was read
	}
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	for first := true; ; {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		var frame struct {
			Type, ID string
			Data     json.RawMessage
		}
		if err := json.Unmarshal(text, &frame); err != nil {
			return err
		}
		if frame.ID != "" {
			c.token = frame.ID
		}
		if first {
			first = false
			open()
		}
		c.got(frame.Type, frame.Data, "text")
	}
}

// got notes an event, whose number is in a field of its data.
func (c *client) got(event string, data []byte, field string) {
	if event == "reset" {
		c.seen.mu.Lock()
		c.seen.resets++
		c.seen.mu.Unlock()
		return
	}
	if len(data) == 0 {
		return
	}
	var fields map[string]any
	if json.Unmarshal(data, &fields) != nil {
		return
	}
	text, _ := fields[field].(string)
	number, err := strconv.Atoi(text)
	if err != nil {
		return
	}
	kind := 0
	if c.socket {
		kind = 1
	}
	c.seen.see(kind, c.topic, c.last, number)
	c.last = max(c.last, number)
}

package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/websocket/websockettest"
)

// memoryLog is a log that a test can break.
type memoryLog struct {
	state   LogState
	reading time.Duration
	lost    chan error
}

func (l *memoryLog) State(context.Context) (LogState, error) { return l.state, nil }

func (l *memoryLog) Append(context.Context, Message) (uint64, error) {
	return 0, httpapi.NewProblem(503, "not now")
}

func (l *memoryLog) Follow(ctx context.Context, _ uint64, _ func(Record)) error {
	select {
	case err := <-l.lost:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *memoryLog) Read(_ context.Context, after, upTo uint64, _ string, yield func(Record) error) error {
	time.Sleep(l.reading)
	for seq := after + 1; seq <= upTo; seq++ {
		if err := yield(Record{Seq: seq, Time: time.Now(), Message: Message{Room: "a", Data: json.RawMessage("0")}}); err != nil {
			return err
		}
	}
	return nil
}

// Other parts may use a topic too: what is no message for a room is left out and
// counted, and a gap in the order has the clients come back.
func TestWhatTheLogDelivers(t *testing.T) {
	t.Parallel()
	h := newHub(t, testConfig())
	s := shared{hub: h}
	c := &client{room: "a", at: h.position(), wake: make(chan struct{}, 1)}
	if _, live, _, err := h.catchUp(c, nil); !live || err != nil {
		t.Fatalf("live: %t, %v", live, err)
	}
	record := func(seq uint64, kind, data string) Record {
		return Record{Seq: seq, Time: time.Now(), Message: Message{Room: "a", Type: kind, Data: json.RawMessage(data)}}
	}
	s.deliver(record(1, "", string(make([]byte, testConfig().MaxMessageBytes+1))))
	s.deliver(record(2, typeReset, "1"))
	s.deliver(record(3, "", "no JSON"))
	s.deliver(record(4, "", "1"))
	s.deliver(record(4, "", "1")) // again
	if leftOut, messages := testutil.ToFloat64(h.metrics.leftOut), testutil.ToFloat64(h.metrics.published); leftOut != 3 || messages != 1 {
		t.Errorf("%v left out and %v delivered, want 3 and 1", leftOut, messages)
	}
	if frames, ended := c.take(nil); len(frames) != 1 || ended != "" {
		t.Errorf("%d messages wait, ended %q", len(frames), ended)
	}
	s.deliver(record(6, "", "1"))
	if _, ended := c.take(nil); ended != endBroken {
		t.Errorf("ended %q after a gap", ended)
	}
	if h.position().seq != 6 || h.window.floor != 5 || h.window.count != 1 {
		t.Errorf("the hub is at %v, floor %d, %d messages", h.position(), h.window.floor, h.window.count)
	}
}

// A client that comes from an instance which is ahead gets nothing again that it
// had there.
func TestAClientAheadOfItsInstance(t *testing.T) {
	t.Parallel()
	h := newHub(t, testConfig())
	s := shared{hub: h}
	c := &client{room: "a", at: position{h.epoch, 2}, wake: make(chan struct{}, 1)}
	if _, live, _, err := h.catchUp(c, nil); !live || err != nil {
		t.Fatalf("live: %t, %v", live, err)
	}
	for seq := uint64(1); seq <= 4; seq++ {
		s.deliver(Record{Seq: seq, Time: time.Now(), Message: Message{Room: "a", Data: json.RawMessage("1")}})
	}
	frames, _ := c.take(nil)
	if len(frames) != 2 || frames[0].seq != 3 || frames[1].seq != 4 {
		t.Errorf("%d messages wait, want the third and the fourth", len(frames))
	}
}

// While the window is filled from a slow log, the hub does everything else.
func TestSlowLogHoldsUpNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, testConfig())
		log := &memoryLog{state: LogState{Epoch: "one", First: 1, Last: 1}, lost: make(chan error)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := h.Share(ctx, log); err != nil {
			t.Fatal(err)
		}
		followed := make(chan error, 1)
		go func() { followed <- h.Follow(ctx) }()
		synctest.Wait()
		log.state, log.reading = LogState{Epoch: "two", First: 2, Last: 3}, time.Hour
		log.lost <- errBroken
		time.Sleep(10 * time.Second) // it is reading now
		start := time.Now()
		if _, err := h.Publish(ctx, Message{Room: "a", Data: json.RawMessage("1")}); err == nil {
			t.Error("published without the log")
		}
		if at := h.position(); at != (position{"one", 1}) {
			t.Errorf("the hub is at %v while it reads", at)
		}
		h.Drain()
		if took := time.Since(start); took > 0 {
			t.Errorf("publish and drain waited %s for the log", took)
		}
		time.Sleep(2 * time.Hour)
		if at := h.position(); at != (position{"two", 3}) || h.window.count != 2 {
			t.Errorf("the hub is at %v after it has read, with %d messages", at, h.window.count)
		}
		cancel()
		if err := <-followed; !errors.Is(err, context.Canceled) {
			t.Errorf("follow: %v", err)
		}
	})
}

func TestFollowWantsALog(t *testing.T) {
	t.Parallel()
	if err := newHub(t, testConfig()).Follow(t.Context()); err == nil {
		t.Error("a hub with no log follows one")
	}
}

// gateLog is a log of many messages, whose readers wait at a gate once the window is
// filled.
type gateLog struct {
	gate chan struct{} // nil while the window is filled
	open func()

	mu            sync.Mutex
	reading, most int
	afters        []uint64 // where each began
	errs          []error  // with which each ended
}

const gateLast = 1 << 20

func (*gateLog) State(context.Context) (LogState, error) {
	return LogState{Epoch: "one", First: 1, Last: gateLast}, nil
}

func (*gateLog) Append(context.Context, Message) (uint64, error) { return 0, nil }

func (*gateLog) Follow(context.Context, uint64, func(Record)) error { return nil }

func (l *gateLog) Read(ctx context.Context, after, upTo uint64, _ string, yield func(Record) error) (err error) {
	if l.gate != nil {
		l.mu.Lock()
		l.reading++
		l.most = max(l.most, l.reading)
		l.afters = append(l.afters, after)
		l.mu.Unlock()
		defer func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.reading--
			l.errs = append(l.errs, err)
		}()
		select {
		case <-l.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for seq := after + 1; seq <= upTo; seq++ {
		if err := yield(Record{Seq: seq, Time: time.Now(), Message: Message{Room: "a", Data: json.RawMessage("1")}}); err != nil {
			return err
		}
	}
	return nil
}

// awaitReaders waits until as many read the log, and as many sockets are open.
func (l *gateLog) awaitReaders(t *testing.T, h *Hub, reading, open int) {
	t.Helper()
	waittest.Until(t, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if got := int(testutil.ToFloat64(h.metrics.clients)); l.reading != reading || got != open {
			return fmt.Errorf("%d read and %d are open, want %d and %d", l.reading, got, reading, open)
		}
		return nil
	})
}

// shareGate returns a hub on a log with a gate, and its URL.
func shareGate(t *testing.T, replays int) (*gateLog, *Hub, string) {
	t.Helper()
	config := testConfig()
	config.MaxReplays = replays
	h, url := newTestHub(t, config)
	log := new(gateLog)
	if err := h.Share(t.Context(), log); err != nil {
		t.Fatal(err)
	}
	log.gate = make(chan struct{})
	log.open = sync.OnceFunc(func() { close(log.gate) })
	t.Cleanup(log.open)
	return log, h, url
}

// Clients that come back all at once read the log a few at a time. Who goes away
// while it waits for its turn has none.
func TestReplaysTakeTurns(t *testing.T) {
	t.Parallel()
	log, h, url := shareGate(t, 2)
	token := fmt.Sprintf("one-%d", gateLast-testConfig().WindowMessages-3)
	var sockets []*websockettest.Socket
	for i := range 6 {
		sockets = append(sockets, websockettest.Open(t, url+"a", token))
		log.awaitReaders(t, h, min(i+1, 2), i+1)
	}
	sockets[5].Cut()
	log.awaitReaders(t, h, 2, 5)
	log.open()
	for _, s := range sockets[:5] {
		for range testConfig().WindowMessages + 3 {
			wantData(t, s, "1")
		}
	}
	if len(log.afters) != 5 || log.most != 2 {
		t.Errorf("the log was read %d times, by %d at once, want 5 and 2", len(log.afters), log.most)
	}
}

// Who waits for its turn when the service stops is told to come back.
func TestDrainEndsTheWaitForATurn(t *testing.T) {
	t.Parallel()
	log, h, url := shareGate(t, 1)
	reads := websockettest.Open(t, url+"a", "one-1")
	log.awaitReaders(t, h, 1, 1)
	waits := websockettest.Open(t, url+"a", "one-1")
	log.awaitReaders(t, h, 1, 2)
	h.Drain()
	wantCode(t, waits, websocket.StatusServiceRestart)
	log.awaitReaders(t, h, 1, 1)
	log.open()
	wantCode(t, reads, websocket.StatusServiceRestart)
}

// A long replay is one of several turns, each of which goes on where the last ended,
// and is a span.
func TestATurnIsBounded(t *testing.T) {
	t.Parallel()
	log, h, url := shareGate(t, 1)
	spans := tracetest.NewSpanRecorder()
	h.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("websocket")
	log.open()
	s := websockettest.Open(t, url+"a", "one-1")
	for seq := 2; ; seq++ {
		mustBe(t, next(t, s), seq)
		log.mu.Lock()
		begun := len(log.afters)
		log.mu.Unlock()
		if begun == 3 {
			break
		}
	}
	s.Cut()
	log.awaitReaders(t, h, 0, 0)
	for i, err := range log.errs[:2] {
		if !errors.Is(err, errTurn) || log.afters[i+1] <= log.afters[i] {
			t.Errorf("turn %d ended with %v, and the next began at %d", i, err, log.afters[i+1])
		}
		if span := spans.Ended()[i]; span.Name() != "websocket.replay" {
			t.Errorf("turn %d is the span %s", i, span.Name())
		}
	}
}

package sse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"example.com/orders/internal/sse/ssetest"
	"example.com/orders/internal/waittest"
)

// slowLog is a log of one event that takes its time to read.
type slowLog struct {
	mu      sync.Mutex
	state   LogState
	reading time.Duration
	lost    chan error
}

func (l *slowLog) State(context.Context) (LogState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, nil
}

func (l *slowLog) Append(context.Context, Event) (uint64, error) { return 2, nil }

func (l *slowLog) Follow(ctx context.Context, _ uint64, _ func(Record)) error {
	select {
	case err := <-l.lost:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *slowLog) Read(_ context.Context, _, _ uint64, _ []string, yield func(Record) error) error {
	time.Sleep(l.reading)
	return yield(Record{Seq: 1, Time: time.Now(), Event: Event{Topic: "a"}})
}

// Messages that are no events are normal on a topic that others use too: they
// are counted, and no warning.
func TestMessagesThatAreNoEventsAreCounted(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	h := New(testConfig(), slog.New(slog.NewTextHandler(&logged, nil)), prometheus.NewRegistry(), noop.NewTracerProvider())
	s := shared{hub: h}
	s.deliver(Record{Seq: 1, Time: time.Now(), Event: Event{Topic: "a", Data: make([]byte, testConfig().MaxEventBytes+1)}})
	s.deliver(Record{Seq: 2, Time: time.Now(), Event: Event{Topic: "a", Type: typeReset}})
	s.deliver(Record{Seq: 3, Time: time.Now(), Event: Event{Topic: "a"}})
	if leftOut, events := testutil.ToFloat64(h.metrics.leftOut), testutil.ToFloat64(h.metrics.published); leftOut != 2 || events != 1 {
		t.Errorf("%v left out and %v delivered, want 2 and 1", leftOut, events)
	}
	if logged.Len() > 0 {
		t.Errorf("logged: %s", &logged)
	}
	if at := h.position().seq; at != 3 {
		t.Errorf("the hub is at %d, want 3", at)
	}
}

// While the window is filled from a slow log, the hub does everything else.
func TestSlowLogHoldsUpNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := New(testConfig(), slog.New(slog.DiscardHandler), prometheus.NewRegistry(), noop.NewTracerProvider())
		log := &slowLog{state: LogState{Epoch: "one", First: 1, Last: 1}, lost: make(chan error)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := h.Share(ctx, log); err != nil {
			t.Fatal(err)
		}
		followed := make(chan error, 1)
		go func() { followed <- h.Follow(ctx) }()
		log.mu.Lock()
		log.state.Epoch, log.reading = "two", time.Hour
		log.mu.Unlock()
		log.lost <- errBroken
		time.Sleep(10 * time.Second) // it is reading now
		start := time.Now()
		if _, err := h.Publish(ctx, Event{Topic: "a"}); err != nil {
			t.Error(err)
		}
		if at := h.position(); at != (position{"one", 1}) {
			t.Errorf("the hub is at %v while it reads", at)
		}
		h.Drain()
		if took := time.Since(start); took > 0 {
			t.Errorf("publish and drain waited %s for the log", took)
		}
		time.Sleep(2 * time.Hour)
		if at := h.position(); at != (position{"two", 1}) {
			t.Errorf("the hub is at %v after it has read", at)
		}
		cancel()
		if err := <-followed; !errors.Is(err, context.Canceled) {
			t.Errorf("follow: %v", err)
		}
	})
}

// gateLog is a log of many events, whose readers wait at a gate once the window is
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

func (*gateLog) Append(context.Context, Event) (uint64, error) { return 0, nil }

func (*gateLog) Follow(context.Context, uint64, func(Record)) error { return nil }

func (l *gateLog) Read(ctx context.Context, after, upTo uint64, _ []string, yield func(Record) error) (err error) {
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
		if err := yield(Record{Seq: seq, Time: time.Now(), Event: Event{Topic: "a", Data: []byte("x")}}); err != nil {
			return err
		}
	}
	return nil
}

// awaitReaders waits until as many read the log, and as many streams are open.
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
	last := fmt.Sprintf("one-%d", gateLast-testConfig().WindowEvents-3)
	var streams []*ssetest.Stream
	for i := range 6 {
		streams = append(streams, ssetest.Open(t, url+"a", last))
		log.awaitReaders(t, h, min(i+1, 2), i+1)
	}
	streams[5].Close()
	log.awaitReaders(t, h, 2, 5)
	log.open()
	for _, s := range streams[:5] {
		for range testConfig().WindowEvents + 3 {
			wantData(t, s, "x")
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
	reads := ssetest.Open(t, url+"a", "one-1")
	log.awaitReaders(t, h, 1, 1)
	waits := ssetest.Open(t, url+"a", "one-1")
	log.awaitReaders(t, h, 1, 2)
	h.Drain()
	if e, err := waits.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("got %+v, %v, want the end", e, err)
	}
	log.awaitReaders(t, h, 1, 1)
	log.open()
	if e, err := reads.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("got %+v, %v, want the end", e, err)
	}
}

// A long replay is one of several turns, each of which goes on where the last ended,
// and is a span.
func TestATurnIsBounded(t *testing.T) {
	t.Parallel()
	log, h, url := shareGate(t, 1)
	spans := tracetest.NewSpanRecorder()
	h.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("sse")
	log.open()
	s := ssetest.Open(t, url+"a", "one-1")
	for seq := 2; ; seq++ {
		if e := next(t, s); e.ID != fmt.Sprintf("one-%d", seq) {
			t.Fatalf("got %+v, want the event %d", e, seq)
		}
		log.mu.Lock()
		begun := len(log.afters)
		log.mu.Unlock()
		if begun == 3 {
			break
		}
	}
	s.Close()
	log.awaitReaders(t, h, 0, 0)
	for i, err := range log.errs[:2] {
		if !errors.Is(err, errTurn) || log.afters[i+1] <= log.afters[i] {
			t.Errorf("turn %d ended with %v, and the next began at %d", i, err, log.afters[i+1])
		}
		if span := spans.Ended()[i]; span.Name() != "sse.replay" {
			t.Errorf("turn %d is the span %s", i, span.Name())
		}
	}
}

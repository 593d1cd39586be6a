package sse

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
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
	h := New(testConfig(), slog.New(slog.NewTextHandler(&logged, nil)), prometheus.NewRegistry())
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
		h := New(testConfig(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
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

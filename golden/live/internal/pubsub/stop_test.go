package pubsub_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"example.com/live/internal/pubsub"
	"example.com/live/internal/pubsub/pubsubtest"
)

// A relay stands between a bus and its server, and can fall silent: connections
// stay, and nothing passes.
type relay struct {
	listener net.Listener
	silent   sync.RWMutex
	all      sync.WaitGroup
	target   string
}

func startRelay(t *testing.T, target string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, target: target}
	r.all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // the test is over
			}
			r.all.Go(func() { r.pass(conn) })
		}
	})
	return r
}

func (r *relay) pass(conn net.Conn) {
	defer func() { _ = conn.Close() }() // cut off
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }() // cut off
	var both sync.WaitGroup
	both.Go(func() { r.copy(server, conn) })
	both.Go(func() { r.copy(conn, server) })
	both.Wait()
}

func (r *relay) copy(to, from net.Conn) {
	defer func() { _ = to.Close() }() // ends the other direction
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		r.silent.RLock()
		_, err = to.Write(buffer[:n])
		r.silent.RUnlock()
		if err != nil {
			return
		}
	}
}

// A bus whose server has fallen silent closes all the same, and soon.
func TestCloseDoesNotWaitForASilentServer(t *testing.T) {
	server := pubsubtest.StartServer(t)
	r := startRelay(t, strings.TrimPrefix(server.URL, "nats://"))
	config := testConfig(t)
	config.URL = "nats://" + r.listener.Addr().String()
	b, err := tryOpen(t, config)
	if err != nil {
		t.Fatal(err)
	}
	r.silent.Lock()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	start := time.Now()
	if err := b.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	r.silent.Unlock()
	if err := r.listener.Close(); err != nil {
		t.Error(err)
	}
	r.all.Wait()
}

// Told to stop while it waits for a server that takes the connection and says
// nothing, Open returns at once.
func TestOpenEndsWithItsContext(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mute.Close() }() // nothing was written
	ctx, cancel := context.WithCancel(t.Context())
	var accepted sync.WaitGroup
	accepted.Go(func() {
		conn, err := mute.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		cancel()
		_, _ = io.Copy(io.Discard, conn) // until the bus hangs up
		_ = conn.Close()                 // nothing was written
	})
	config := testConfig(t)
	config.URL, config.ConnectTimeout = "nats://"+mute.Addr().String(), time.Minute
	start := time.Now()
	_, err = pubsub.Open(ctx, config, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), noop.NewTracerProvider())
	if err == nil || time.Since(start) > 10*time.Second {
		t.Errorf("open: %v after %s", err, time.Since(start))
	}
	accepted.Wait()
}

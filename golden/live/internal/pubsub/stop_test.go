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

	"example.com/orders/internal/pubsub"
	"example.com/orders/internal/pubsub/pubsubtest"
	"example.com/orders/internal/relaytest"
)

// A bus whose server has fallen silent closes all the same, and soon.
func TestCloseDoesNotWaitForASilentServer(t *testing.T) {
	server := pubsubtest.StartServer(t)
	relay := relaytest.Start(t, strings.TrimPrefix(server.URL, "nats://"))
	config := testConfig(t)
	config.URL = "nats://" + relay.Addr
	b, err := tryOpen(t, config)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Silence()()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	start := time.Now()
	if err := b.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
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

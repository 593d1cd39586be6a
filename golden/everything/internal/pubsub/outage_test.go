package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"example.com/orders/internal/pubsub"
	"example.com/orders/internal/pubsub/pubsubtest"
	"example.com/orders/internal/waittest"
)

// The server is killed and comes back while messages are published: each one
// arrives, once and in order.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	server := pubsubtest.StartProcess(t)
	config := testConfig(t)
	config.URL = server.URL
	config.PublishTimeout = 30 * time.Second
	publisher, subscriber := open(t, config), open(t, config)
	got := follow(t, subscriber, 0)
	const n = 300
	published := make(chan error, 1)
	go func() {
		for i := range n {
			if _, err := publisher.Publish(t.Context(), pubsub.Message{Topic: "a", Data: []byte(strconv.Itoa(i))}); err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	for restart := range 3 {
		got.await(t, (restart+1)*n/10)
		server.Kill()
		server.Start()
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "messages", numbers(0, n), got.await(t, n))
}

// Without a server publishing fails in time and says so; the first try after it
// is back succeeds.
func TestServerIsDead(t *testing.T) {
	t.Parallel()
	server := pubsubtest.StartServer(t)
	config := testConfig(t)
	config.URL = server.URL
	config.PublishTimeout = 500 * time.Millisecond
	b := open(t, config)
	got := follow(t, b, 0)
	publish(t, b, "a", "before")
	server.Stop()
	begin := time.Now()
	_, err := b.Publish(t.Context(), pubsub.Message{Topic: "a", ID: "one", Data: []byte("during")})
	if !errors.Is(err, pubsub.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("publishing failed after %s, where 500 ms are configured", took)
	}
	if err := b.Ready(t.Context()); err == nil {
		t.Error("ready without a server")
	}
	server.Start()
	waittest.Until(t, func() error { return b.Ready(t.Context()) })
	if _, err := b.Publish(t.Context(), pubsub.Message{Topic: "a", ID: "one", Data: []byte("after")}); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "messages", []string{"before", "after"}, got.await(t, 2))
}

// The server comes back without what it had: the stream is made anew, and a
// reader is told that its place means nothing any more.
func TestServerLosesItsStore(t *testing.T) {
	t.Parallel()
	server := pubsubtest.StartServer(t)
	config := testConfig(t)
	config.URL = server.URL
	b := open(t, config)
	publish(t, b, "a", "lost")
	followed := make(chan error, 1)
	read := make(chan string, 10)
	go func() {
		followed <- b.Follow(t.Context(), 0, func(m pubsub.Message) error { read <- string(m.Data); return nil })
	}()
	if got := <-read; got != "lost" {
		t.Fatalf("got %q", got)
	}
	server.Stop()
	server.Wipe()
	server.Start()
	if err := <-followed; !errors.Is(err, pubsub.ErrReplaced) {
		t.Errorf("the reader got %v, want ErrReplaced", err)
	}
	if ack := publish(t, b, "a", "new"); ack.Seq != 1 {
		t.Errorf("the first sequence is %d", ack.Seq)
	}
}

// The leader of a cluster is killed: nothing that was acknowledged is lost, nothing
// comes twice.
func TestClusterLosesItsLeader(t *testing.T) {
	t.Parallel()
	servers := pubsubtest.StartProcesses(t)
	config := testConfig(t)
	config.URL = pubsubtest.URLs(servers)
	config.Replicas = 3
	config.PublishTimeout = 30 * time.Second
	publisher, subscriber := open(t, config), open(t, config)
	got := follow(t, subscriber, 0)
	const n = 500
	published := make(chan error, 1)
	worst := make(chan time.Duration, 1)
	go func() {
		var longest time.Duration
		for i := range n {
			begin := time.Now()
			if _, err := publisher.Publish(t.Context(), pubsub.Message{Topic: "a", Data: []byte(strconv.Itoa(i))}); err != nil {
				published <- err
				return
			}
			longest = max(longest, time.Since(begin))
		}
		worst <- longest
		published <- nil
	}()
	got.await(t, n/5)
	killed := false
	for _, s := range servers {
		if s.IsLeader(config.Stream) {
			s.Kill()
			killed = true
			break
		}
	}
	if !killed {
		t.Error("no server leads the stream")
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "messages", numbers(0, n), got.await(t, n))
	t.Logf("the slowest publish took %s", <-worst)
}

// Two servers of three are gone: publishing is tried again until its time is up,
// also under an id whose first attempt hangs, and Ready says why.
func TestClusterWithoutQuorum(t *testing.T) {
	t.Parallel()
	servers := pubsubtest.StartCluster(t)
	config := testConfig(t)
	config.URL = pubsubtest.URLs(servers)
	config.Replicas = 3
	config.PublishTimeout = 3 * time.Second
	b := open(t, config)
	got := follow(t, b, 0)
	publish(t, b, "a", "before")
	if err := b.Ready(t.Context()); err != nil {
		t.Errorf("with all servers: %v", err)
	}
	// The leader stays for a while although it is alone.
	for _, s := range servers {
		if !s.IsLeader(config.Stream) {
			s.Stop()
		}
	}
	message := pubsub.Message{Topic: "a", ID: "one", Data: []byte("during")}
	for range 2 {
		if _, err := b.Publish(t.Context(), message); !errors.Is(err, pubsub.ErrUnavailable) {
			t.Errorf("without a quorum: got %v, want ErrUnavailable", err)
		}
	}
	waittest.Until(t, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Ready(ctx); !errors.Is(err, pubsub.ErrUnavailable) {
			return fmt.Errorf("ready without a quorum: %v", err) //nolint:errorlint // there may be none
		}
		return nil
	})
	for _, s := range servers {
		if !s.IsRunning() {
			s.Start()
		}
	}
	waittest.Until(t, func() error { // all servers are back
		if _, err := b.Publish(t.Context(), message); err != nil {
			return err
		}
		return b.Ready(t.Context())
	})
	wantEqual(t, "messages", []string{"before", "during"}, got.await(t, 2))
}

// Package relaytest stands between a service and an engine in tests, as a network
// that can break.
package relaytest

import (
	"context"
	"net"
	"sync"
	"testing"
)

// A Relay passes what its connections carry on to its target and back. It can cut
// them, and it can fall silent: connections stay, new ones are taken, and nothing
// passes. It is safe for concurrent use.
type Relay struct {
	// Addr is where it listens, as host:port.
	Addr string

	target string
	silent sync.RWMutex // held while it is
	mu     sync.Mutex
	cut    bool
	conns  map[net.Conn]struct{}
	all    sync.WaitGroup
}

// Start starts a relay to the target, host:port. It ends with the test.
func Start(t testing.TB, target string) *Relay {
	t.Helper()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{Addr: listener.Addr().String(), target: target, conns: make(map[net.Conn]struct{})}
	// The test's own context ends before its cleanups, by which services stop.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r.all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // the test is over
			}
			r.all.Go(func() { r.serve(ctx, conn) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = listener.Close() // ends the accepting
		r.Cut()
		r.all.Wait()
	})
	return r
}

// Cut breaks all connections off, and refuses new ones until [Relay.Restore].
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = true
	for conn := range r.conns {
		_ = conn.Close() // may be closed already
	}
	clear(r.conns)
}

// Restore takes connections again.
func (r *Relay) Restore() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = false
}

// Silence lets nothing pass until the returned function is called.
func (r *Relay) Silence() (speak func()) {
	r.silent.Lock()
	return sync.OnceFunc(r.silent.Unlock)
}

func (r *Relay) serve(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }() // may be closed already
	var dialer net.Dialer
	server, err := dialer.DialContext(ctx, "tcp", r.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }() // as above
	if !r.add(conn, server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { r.copy(server, conn) })
	both.Go(func() { r.copy(conn, server) })
	both.Wait()
}

func (r *Relay) add(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		return false
	}
	for _, conn := range conns {
		r.conns[conn] = struct{}{}
	}
	return true
}

func (r *Relay) copy(to, from net.Conn) {
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

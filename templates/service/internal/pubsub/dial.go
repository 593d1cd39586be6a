package pubsub

import (
	"context"
	"net"
	"sync"
	"time"
)

// A startDialer dials for the NATS library, which knows no context. Until it is
// told that the bus has started, a connection ends with ctx, also one on which
// the server says nothing; then connections last.
type startDialer struct {
	mu      sync.Mutex
	ctx     context.Context // nil once started
	release []func() bool
}

// dialTimeout bounds the way to one server.
const dialTimeout = 5 * time.Second

// Dial implements [nats.CustomDialer].
func (d *startDialer) Dial(network, address string) (net.Conn, error) {
	d.mu.Lock()
	starting := d.ctx
	d.mu.Unlock()
	dialer := net.Dialer{Timeout: dialTimeout}
	if starting == nil {
		return dialer.DialContext(context.Background(), network, address)
	}
	conn, err := dialer.DialContext(starting, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release = append(d.release, context.AfterFunc(starting, func() {
		_ = conn.Close() // whoever reads from it gets the error
	}))
	return conn, nil
}

// started has the connections outlive ctx.
func (d *startDialer) started() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ctx = nil
	for _, release := range d.release {
		release()
	}
	d.release = nil
}

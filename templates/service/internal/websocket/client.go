package websocket

import "sync"

// A client is one open socket as the hub sees it. Its fields belong to the
// goroutine that writes the socket, but for those under mu.
type client struct {
	room string
	// at is the last position that was written to the client.
	at position
	// wake has something in it when the queue has, or the socket was ended.
	wake chan struct{}

	mu    sync.Mutex
	after uint64 // messages up to this one are not for the queue
	queue []*frame
	ended string // why the socket is to be closed
}

// offer puts a message in the queue. It returns false when the client is given
// up, because the queue is full.
func (c *client) offer(f *frame, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended != "":
		return false
	case f.seq > 0 && f.seq <= c.after: // answers to the client itself have no place in the order
		return true
	case len(c.queue) >= limit:
		c.endLocked(endSlow)
		return false
	}
	c.queue = append(c.queue, f)
	c.signal()
	return true
}

// end has the socket closed. The first reason is the one that counts.
func (c *client) end(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(reason)
}

func (c *client) endLocked(reason string) {
	if c.ended == "" {
		c.ended = reason
		c.queue = nil
		c.signal()
	}
}

func (c *client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// take empties the queue, and says why the socket is to be closed. It hands
// over the queue itself; spare, which the caller is done with, becomes the next.
func (c *client) take(spare []*frame) ([]*frame, string) {
	clear(spare)
	c.mu.Lock()
	defer c.mu.Unlock()
	frames := c.queue
	c.queue = spare[:0]
	return frames, c.ended
}

// endedBy returns why the socket is to be closed, or that.
func (c *client) endedBy(reason string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != "" {
		return c.ended
	}
	return reason
}

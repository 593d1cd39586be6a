package sse

import "sync"

// A client is one open stream. Its fields belong to the goroutine that writes
// the stream, but for those under mu.
type client struct {
	topics map[string]bool
	// at is the last position that was written to the client.
	at position
	// wake has something in it when the queue has, or the stream was ended.
	wake chan struct{}

	mu    sync.Mutex
	after uint64 // events up to this one are not for the queue
	queue []*frame
	ended string // why the hub gave the client up
}

// offer puts a frame in the queue. It returns false when the client is given
// up, because the queue is full.
func (c *client) offer(f *frame, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended != "":
		return false
	case f.seq <= c.after:
		return true
	case len(c.queue) >= limit:
		c.endLocked(endSlow)
		return false
	}
	c.queue = append(c.queue, f)
	c.signal()
	return true
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

// take empties the queue, and says why the client was given up. It hands over
// the queue itself; spare, which the caller is done with, becomes the next.
func (c *client) take(spare []*frame) ([]*frame, string) {
	clear(spare)
	c.mu.Lock()
	defer c.mu.Unlock()
	frames := c.queue
	c.queue = spare[:0]
	return frames, c.ended
}

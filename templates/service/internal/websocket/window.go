package websocket

import (
	"sort"
	"time"
)

// A window is the bounded memory of past messages: a ring in the order of their
// sequence. It is not safe for concurrent use.
type window struct {
	ring  []*frame // nil where nothing stands
	start int
	count int
	age   time.Duration
	// bytes is the size of what is kept; it is held to most, where that is not 0,
	// but for the newest message.
	bytes, most int
	// floor is the sequence up to which messages have been forgotten.
	floor uint64
}

func newWindow(messages int, age time.Duration) window {
	return window{ring: make([]*frame, messages), age: age}
}

func (w *window) at(i int) *frame { return w.ring[(w.start+i)%len(w.ring)] }

func (w *window) add(f *frame) {
	if w.count == len(w.ring) {
		w.forgetOldest()
	}
	w.ring[(w.start+w.count)%len(w.ring)] = f
	w.count++
	for w.bytes += len(f.wire); w.most > 0 && w.bytes > w.most && w.count > 1; {
		w.forgetOldest()
	}
}

// expire forgets what is too old at now.
func (w *window) expire(now time.Time) {
	for w.count > 0 && now.Sub(w.at(0).at) > w.age {
		w.forgetOldest()
	}
}

func (w *window) forgetOldest() {
	w.floor = w.at(0).seq
	w.bytes -= len(w.at(0).wire)
	w.ring[w.start] = nil
	w.start = (w.start + 1) % len(w.ring)
	w.count--
}

// after appends to frames those of the room that come after seq, until frames
// is full, and looks at no more than scan messages. It returns the sequence up
// to which it has seen everything, and whether that is the end of the window.
func (w *window) after(seq uint64, room string, frames []*frame, scan int) ([]*frame, uint64, bool) {
	i := sort.Search(w.count, func(i int) bool { return w.at(i).seq > seq })
	for end := min(w.count, i+scan); i < end && len(frames) < cap(frames); i++ {
		f := w.at(i)
		seq = f.seq
		if f.room == room {
			frames = append(frames, f)
		}
	}
	return frames, seq, i == w.count
}

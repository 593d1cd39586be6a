package progress

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

type contextKey struct{}

// Report says how far the job has come whose context this is, or is derived from:
// done of total, in whatever unit; a total of 0 is not known. The note is for
// people. Report returns at once and never fails; a context of no job is fine.
//
// A done below that of an earlier report counts as that one: within an attempt,
// progress does not go back.
func Report(ctx context.Context, done, total int64, note string) {
	From(ctx).Report(done, total, note)
}

// From returns the reporter of the job whose context this is, or nil, on which
// Report may be called as well. It saves a tight loop the search for it.
func From(ctx context.Context) *Reporter {
	r, _ := ctx.Value(contextKey{}).(*Reporter)
	return r
}

// unknown is a percentage.
const unknown = -1

// A Reporter takes what one attempt of one job reports. It is safe for concurrent
// use. It has no goroutine before the first report, and none after the attempt.
type Reporter struct {
	tracker *Tracker
	ctx     context.Context //nolint:containedctx // of the attempt, for what is said on its behalf

	mu      sync.Mutex
	update  Update // but for the percentage
	percent int
	dirty   bool // there is something to write
	begun   bool // there was a report
	closed  bool // no report counts any more

	// Set at the first report.
	wake  chan struct{}
	stop  chan struct{}
	idle  chan struct{} // closed when nothing is being written any more
	queue *queue
	told  bool // that a write has failed
}

// Report is as the package's [Report].
func (r *Reporter) Report(done, total int64, note string) {
	if r == nil {
		return
	}
	r.tracker.metrics.updates.Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	u := &r.update
	u.Done = max(u.Done, done)
	u.Total = max(0, total)
	u.Note = note
	if u.Total > 0 {
		r.percent = max(r.percent, percentOf(u.Done, u.Total))
	}
	if r.dirty {
		return
	}
	r.dirty = true
	if !r.begun {
		r.begin()
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// percentOf rounds down, and to 100 only what is done.
func percentOf(done, total int64) int {
	if done >= total {
		return 100
	}
	return min(99, int(float64(done)/float64(total)*100))
}

// begin starts to write. The caller holds r.mu.
func (r *Reporter) begin() {
	r.begun = true
	r.wake = make(chan struct{}, 1)
	r.stop = make(chan struct{})
	r.idle = make(chan struct{})
	if len(r.tracker.streams) > 0 {
		r.queue = newQueue(r.ctx, r.tracker)
	}
	go r.run()
}

// run writes the first report at once, and then the newest one each interval,
// where there is one.
func (r *Reporter) run() {
	defer close(r.idle)
	for {
		select {
		case <-r.wake:
		case <-r.stop:
			return
		}
		r.write()
		select {
		case <-time.After(r.tracker.config.WriteInterval):
		case <-r.stop:
			return
		}
	}
}

// end writes the attempt's last word, where it has said anything.
func (r *Reporter) end() {
	r.mu.Lock()
	stale := r.closed
	r.closed = true
	begun := r.begun
	r.mu.Unlock()
	if !begun {
		return
	}
	close(r.stop)
	<-r.idle
	if !stale {
		r.writeLast()
	}
	if r.queue != nil {
		r.queue.close()
	}
}

// take returns what there is to write now.
func (r *Reporter) take() Update {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dirty = false
	u := r.update
	if p := r.percent; p != unknown {
		u.Percent = &p
	}
	u.Note = text(u.Note, r.tracker.config.MaxNoteBytes)
	now := time.Now().UTC().Truncate(time.Millisecond) // as every database keeps it
	u.UpdatedAt = &now
	return u
}

// text returns what of the note a database takes, in at most limit bytes.
func text(note string, limit int) string {
	note = strings.ReplaceAll(strings.ToValidUTF8(note, "\uFFFD"), "\x00", "\uFFFD")
	if len(note) <= limit {
		return note
	}
	for !utf8.RuneStart(note[limit]) {
		limit--
	}
	return note[:limit]
}

// write writes what there is. What could not be written is so, or what has come
// since, an interval later.
func (r *Reporter) write() {
	u := r.take()
	ctx, cancel := context.WithTimeout(r.ctx, r.tracker.config.WriteTimeout)
	defer cancel()
	kept, err := r.tracker.save(ctx, u)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		r.warn(err)
		r.dirty = true
		select {
		case r.wake <- struct{}{}:
		default:
		}
	case !kept: // this one was taken for dead
		r.closed = true
		return
	}
	r.offer(u)
}

// warn logs the attempt's first failure; the metrics count them all.
func (r *Reporter) warn(err error) {
	if r.told {
		return
	}
	r.told = true
	r.tracker.log.WarnContext(r.ctx, "progress: could not be written", "job", r.update.Job, slog.Any("error", err))
}

// lastPause is the time between two tries to write an attempt's last word.
const lastPause = 100 * time.Millisecond

// writeLast writes the attempt's last word before the job counts as ended, and
// tries for as long as a write may take.
func (r *Reporter) writeLast() {
	u := r.take()
	u.AttemptEnded = true
	ctx, cancel := context.WithTimeout(r.ctx, r.tracker.config.WriteTimeout)
	defer cancel()
	for {
		kept, err := r.tracker.save(ctx, u)
		if err == nil {
			if kept {
				r.offer(u)
			}
			return
		}
		select {
		case <-time.After(lastPause):
		case <-ctx.Done():
			r.warn(err)
			r.offer(u)
			return
		}
	}
}

func (r *Reporter) offer(u Update) {
	if r.queue != nil {
		r.queue.offer(u)
	}
}

// A queue has room for one update, the newest, and hands it to those who publish
// it: they hold up nothing but each other.
type queue struct {
	tracker *Tracker
	cancel  context.CancelFunc
	newest  chan Update
	done    chan struct{}
}

func newQueue(ctx context.Context, t *Tracker) *queue {
	ctx, cancel := context.WithCancel(ctx)
	q := &queue{tracker: t, cancel: cancel, newest: make(chan Update, 1), done: make(chan struct{})}
	go q.run(ctx)
	return q
}

// offer replaces what waits. It is called by one goroutine at a time.
func (q *queue) offer(u Update) {
	select {
	case <-q.newest:
	default:
	}
	q.newest <- u
}

func (q *queue) run(ctx context.Context) {
	defer close(q.done)
	for u := range q.newest {
		for _, s := range q.tracker.streams {
			ctx, cancel := context.WithTimeout(ctx, q.tracker.config.WriteTimeout)
			result := "ok"
			if err := s.Publish(ctx, u); err != nil {
				result = "error"
				q.tracker.log.DebugContext(ctx, "progress: could not be published", "stream", s.Name, "job", u.Job, slog.Any("error", err))
			}
			cancel()
			q.tracker.metrics.published.WithLabelValues(result).Inc()
		}
	}
}

// close waits until the last update is published, for as long as one may take.
func (q *queue) close() {
	close(q.newest)
	timer := time.AfterFunc(q.tracker.config.WriteTimeout, q.cancel)
	defer timer.Stop()
	<-q.done
	q.cancel()
}

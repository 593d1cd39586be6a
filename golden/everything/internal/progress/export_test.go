package progress

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Writes returns how many writes had that result.
func (t *Tracker) Writes(result string) float64 {
	return testutil.ToFloat64(t.metrics.writes.WithLabelValues(result))
}

// Published returns how many events had that result.
func (t *Tracker) Published(result string) float64 {
	return testutil.ToFloat64(t.metrics.published.WithLabelValues(result))
}

// Save writes an update as an attempt would.
func (t *Tracker) Save(ctx context.Context, u Update) (kept bool, err error) {
	now := time.Now()
	u.UpdatedAt = &now
	return t.save(ctx, u)
}

// Occupy takes all the turns to read, until the function it returns is called.
func (t *Tracker) Occupy() (release func()) {
	for range cap(t.reads) {
		t.reads <- struct{}{}
	}
	return func() {
		for range cap(t.reads) {
			<-t.reads
		}
	}
}

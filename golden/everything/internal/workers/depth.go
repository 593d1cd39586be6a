package workers

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	samplePeriod  = time.Second
	sampleTimeout = 5 * time.Second
)

// A depth is what was last counted of the jobs that have not ended. Counting is
// too dear for each request and scrape, so it is done once a period, plus what
// this process has enqueued since.
type depth struct {
	mu     sync.Mutex
	counts map[queueState]queueCount
	since  map[string]int // enqueued since the count, by kind
}

type queueState struct{ queue, state string }

type queueCount struct {
	jobs   int
	oldest time.Time // when the first of them was due
}

func (d *depth) set(counts map[queueState]queueCount) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts, d.since = counts, make(map[string]int)
}

func (d *depth) enqueued(kind string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since != nil {
		d.since[kind]++
	}
}

// waiting returns how many jobs of the kind wait to be started, those included that
// are to run later or again: some day all of them want a worker.
func (d *depth) waiting(kind string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.since[kind]
	for _, state := range []string{"available", "scheduled", "retryable"} {
		n += d.counts[queueState{kind, state}].jobs
	}
	return n
}

// sample counts the jobs that have not ended.
func (p *Pool) sample(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	counts := make(map[queueState]queueCount)
	for _, kind := range p.kinds {
		for _, state := range []string{"available", "retryable", "running", "scheduled"} {
			counts[queueState{kind, state}] = queueCount{} // none is a number too
		}
	}
	if err := countJobs(ctx, p.db, counts); err != nil {
		return fmt.Errorf("count the jobs: %w", err)
	}
	p.depth.set(counts)
	return nil
}

func (p *Pool) sampleUntilDone(ctx context.Context) {
	ticker := time.NewTicker(samplePeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := p.sample(ctx); err != nil && ctx.Err() == nil {
			p.log.ErrorContext(ctx, "the queue depth is stale", "error", err)
		}
	}
}

var (
	depthDesc  = prometheus.NewDesc("workers_queue_depth", "Jobs that have not ended, by kind and state; at most a second old.", []string{"kind", "state"}, nil)
	oldestDesc = prometheus.NewDesc("workers_queue_oldest_seconds", "How long the first job that waits for a worker has been due.", []string{"kind"}, nil)
)

// Describe implements [prometheus.Collector].
func (d *depth) Describe(ch chan<- *prometheus.Desc) {
	ch <- depthDesc
	ch <- oldestDesc
}

// Collect implements [prometheus.Collector].
func (d *depth) Collect(ch chan<- prometheus.Metric) {
	d.mu.Lock()
	counts := maps.Clone(d.counts)
	d.mu.Unlock()
	for key, count := range counts {
		ch <- prometheus.MustNewConstMetric(depthDesc, prometheus.GaugeValue, float64(count.jobs), key.queue, key.state)
		if key.state == "available" {
			age := 0.0
			if count.jobs > 0 {
				age = max(0, time.Since(count.oldest).Seconds())
			}
			ch <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, age, key.queue)
		}
	}
}

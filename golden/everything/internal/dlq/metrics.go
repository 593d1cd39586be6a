package dlq

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	dead      *prometheus.CounterVec
	requeued  *prometheus.CounterVec
	discarded *prometheus.CounterVec
	overruns  *prometheus.CounterVec
	counts    *counts
}

func newMetrics() metrics {
	return metrics{
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dlq_dead_total",
			Help: "What became a dead letter in this process.",
		}, []string{"source", "kind"}),
		requeued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dlq_requeued_total",
			Help: "Dead letters that were requeued.",
		}, []string{"source"}),
		discarded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dlq_discarded_total",
			Help: "Dead letters that were thrown away by hand.",
		}, []string{"source"}),
		overruns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dlq_overruns_total",
			Help: "Times that deaths may have gone without being counted or logged; the letters are there.",
		}, []string{"source"}),
		counts: &counts{bySource: make(map[string]count)},
	}
}

// counts is what was last counted of each source.
type counts struct {
	mu       sync.Mutex
	bySource map[string]count
}

type count struct {
	letters int
	oldest  time.Time
}

func (c *counts) set(source string, letters int, oldest time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bySource[source] = count{letters, oldest}
}

var (
	messagesDesc = prometheus.NewDesc("dlq_messages", "Dead letters that wait for a decision.", []string{"source"}, nil)
	oldestDesc   = prometheus.NewDesc("dlq_oldest_age_seconds", "Time since the oldest dead letter died, 0 where there is none.", []string{"source"}, nil)
)

// Describe implements [prometheus.Collector].
func (c *counts) Describe(ch chan<- *prometheus.Desc) {
	ch <- messagesDesc
	ch <- oldestDesc
}

// Collect implements [prometheus.Collector].
func (c *counts) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for source, count := range c.bySource {
		age := 0.0
		if count.letters > 0 {
			age = max(0, time.Since(count.oldest).Seconds())
		}
		ch <- prometheus.MustNewConstMetric(messagesDesc, prometheus.GaugeValue, float64(count.letters), source)
		ch <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, age, source)
	}
}

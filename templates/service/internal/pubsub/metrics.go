package pubsub

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	published  *prometheus.HistogramVec
	delivered  *prometheus.CounterVec
	handled    *prometheus.CounterVec
	restarts   prometheus.Counter
	reconnects prometheus.Counter
	overruns   prometheus.Counter
}

func newMetrics(registry prometheus.Registerer, connected func() bool) metrics {
	m := metrics{
		published: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "pubsub_publish_duration_seconds",
			Help:    "Time until a message was stored or given up, by the result.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"result"}),
		delivered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pubsub_delivered_total",
			Help: "Messages handed to a reader in this instance, by the way of reading.",
		}, []string{"mode"}),
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pubsub_group_messages_total",
			Help: "Messages that a group's member has tried, by the result.",
		}, []string{"group", "result"}),
		restarts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pubsub_reader_restarts_total",
			Help: "Times that a reader had to start again where it was, after an outage or a gap.",
		}),
		reconnects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pubsub_reconnects_total",
			Help: "Times that the connection to NATS was lost and made anew.",
		}),
		overruns: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pubsub_overruns_total",
			Help: "Times that messages were dropped because a live subscriber was too slow.",
		}),
	}
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pubsub_connected",
		Help: "1 while there is a connection to NATS.",
	}, func() float64 {
		if connected() {
			return 1
		}
		return 0
	})
	for _, mode := range []string{modeLive, modeFollow, modeRead} {
		m.delivered.WithLabelValues(mode)
	}
	for _, result := range []string{resultStored, resultDuplicate, resultFailed, resultRefused} {
		m.published.WithLabelValues(result) // so that a rate is there from the first one on
	}
	registry.MustRegister(m.published, m.delivered, m.handled, m.restarts, m.reconnects, m.overruns, up)
	return m
}

// join has a group's counters begin at 0: a rate does not see the first of what is not
// there before it.
func (m metrics) join(group string) {
	for _, result := range []string{resultDone, resultRetried, resultDropped} {
		m.handled.WithLabelValues(group, result)
	}
}

// What came of publishing.
const (
	resultStored    = "stored"
	resultDuplicate = "duplicate"
	resultFailed    = "failed"
	resultRefused   = "refused"
)

// What came of a group's message.
const (
	resultDone    = "done"
	resultRetried = "retried"
	resultDropped = "dropped"
)

// The ways of reading.
const (
	modeLive   = "live"
	modeFollow = "follow"
	modeRead   = "read"
)

package sse

import "github.com/prometheus/client_golang/prometheus"

// Why a stream ended.
const (
	endGone    = "gone"    // the client went away
	endSlow    = "slow"    // too many events waited for it
	endStalled = "stalled" // a write took too long, or failed
	endDrained = "drained" // the service stops
	endBroken  = "broken"  // events were lost on the way to this instance
)

// How a client came back that named its last event.
const (
	resumeReplayed = "replayed" // it gets everything since
	resumeExpired  = "expired"  // reset: its last event is outside of the window
	resumeUnknown  = "unknown"  // reset: its last event is of another epoch
)

type metrics struct {
	clients   prometheus.Gauge
	published prometheus.Counter
	sent      prometheus.Counter
	leftOut   prometheus.Counter
	ended     *prometheus.CounterVec
	resumed   *prometheus.CounterVec
	refused   *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) metrics {
	m := metrics{
		clients: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sse_clients",
			Help: "Event streams that are open.",
		}),
		published: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sse_events_total",
			Help: "Events that reached this instance, each counted once.",
		}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sse_events_sent_total",
			Help: "Events written to clients.",
		}),
		leftOut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sse_events_left_out_total",
			Help: "Messages of a shared log that no client gets: larger than an event may be, or of a type that is reserved.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sse_streams_ended_total",
			Help: "Event streams that ended, by the reason.",
		}, []string{"reason"}),
		resumed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sse_resumes_total",
			Help: "Clients that came back with a last event id, by what became of it.",
		}, []string{"result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sse_refused_total",
			Help: "Event streams that were refused, by the reason.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{endGone, endSlow, endStalled, endDrained, endBroken} {
		m.ended.WithLabelValues(reason)
	}
	for _, result := range []string{resumeReplayed, resumeExpired, resumeUnknown} {
		m.resumed.WithLabelValues(result)
	}
	for _, reason := range []string{refuseFull, refuseDraining} {
		m.refused.WithLabelValues(reason)
	}
	registry.MustRegister(m.clients, m.published, m.sent, m.leftOut, m.ended, m.resumed, m.refused)
	return m
}

// Why a stream was refused.
const (
	refuseFull     = "full"
	refuseDraining = "draining"
)

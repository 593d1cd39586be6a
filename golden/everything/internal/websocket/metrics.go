package websocket

import "github.com/prometheus/client_golang/prometheus"

// Why a socket was closed.
const (
	endGone     = "gone"      // the client closed it, or its connection broke
	endSlow     = "slow"      // too many messages waited for it
	endStalled  = "stalled"   // a write took too long
	endSilent   = "silent"    // a ping was not answered
	endTooLarge = "too_large" // the client sent a message over the limit
	endBinary   = "binary"    // the client sent what is no text
	endInvalid  = "invalid"   // the client sent text that is no JSON
	endProtocol = "protocol"  // the client broke the protocol
	endRate     = "rate"      // the client sent too many messages
	endDrained  = "drained"   // the service stops
	endBroken   = "broken"    // messages were lost on the way to this instance
)

// How a client came back that had a resume token.
const (
	resumeReplayed = "replayed" // it gets everything since
	resumeExpired  = "expired"  // reset: its position is outside of the window
	resumeUnknown  = "unknown"  // reset: its position is of another epoch
)

// Why a socket was refused.
const (
	refuseFull      = "full"
	refuseDraining  = "draining"
	refuseOrigin    = "origin"
	refuseHandshake = "handshake"
)

// What became of a message that a client sent.
const (
	receivedAccepted = "accepted"
	receivedRefused  = "refused" // the client is told why
	receivedFailed   = "failed"  // it is not known whether it was taken
)

type metrics struct {
	clients   prometheus.Gauge
	published prometheus.Counter
	sent      prometheus.Counter
	leftOut   prometheus.Counter
	waiting   prometheus.Histogram
	received  *prometheus.CounterVec
	closed    *prometheus.CounterVec
	resumed   *prometheus.CounterVec
	refused   *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) metrics {
	m := metrics{
		clients: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "websocket_clients",
			Help: "Sockets that are open.",
		}),
		published: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "websocket_messages_total",
			Help: "Messages that reached this instance, each counted once.",
		}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "websocket_messages_sent_total",
			Help: "Messages written to clients.",
		}),
		leftOut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "websocket_messages_left_out_total",
			Help: "Messages of a shared log that no client gets: too large, no JSON, or of a type that is reserved.",
		}),
		waiting: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "websocket_queue_messages",
			Help:    "Messages that waited in a client's queue each time that it was emptied.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "websocket_messages_received_total",
			Help: "Messages that clients sent, by what became of them.",
		}, []string{"result"}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "websocket_closed_total",
			Help: "Sockets that were closed, by the reason.",
		}, []string{"reason"}),
		resumed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "websocket_resumes_total",
			Help: "Clients that came back with a resume token, by what became of it.",
		}, []string{"result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "websocket_refused_total",
			Help: "Sockets that were refused, by the reason.",
		}, []string{"reason"}),
	}
	for _, result := range []string{receivedAccepted, receivedRefused, receivedFailed} {
		m.received.WithLabelValues(result)
	}
	for _, reason := range []string{endGone, endSlow, endStalled, endSilent, endTooLarge, endBinary, endInvalid, endProtocol, endRate, endDrained, endBroken} {
		m.closed.WithLabelValues(reason)
	}
	for _, result := range []string{resumeReplayed, resumeExpired, resumeUnknown} {
		m.resumed.WithLabelValues(result)
	}
	for _, reason := range []string{refuseFull, refuseDraining, refuseOrigin, refuseHandshake} {
		m.refused.WithLabelValues(reason)
	}
	registry.MustRegister(m.clients, m.published, m.sent, m.leftOut, m.waiting, m.received, m.closed, m.resumed, m.refused)
	return m
}

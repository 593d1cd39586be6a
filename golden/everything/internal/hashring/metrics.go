package hashring

import "github.com/prometheus/client_golang/prometheus"

// How a forwarded request went.
const (
	resultOK          = "ok"
	resultNotOwner    = "not_owner"   // the views differ, or the state is on its way
	resultUnreachable = "unreachable" // no connection: it was not sent
	resultError       = "error"       // it is not known whether it was done
)

// How a partition changed hands.
const (
	resultSent    = "sent"    // released to its next owner
	resultTaken   = "taken"   // from its owner before
	resultExpired = "expired" // a lease after its owner was lost
	resultLost    = "lost"    // nobody had taken its state when this member stopped
)

type metrics struct {
	forwarded *prometheus.CounterVec
	handovers *prometheus.CounterVec
	refused   prometheus.Counter
	lapses    prometheus.Counter
}

func newMetrics(registry prometheus.Registerer, n *Node) metrics {
	m := metrics{
		forwarded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hashring_forwarded_total",
			Help: "Requests sent to their key's owner, by how it went: ok, not_owner (asked again), unreachable (asked again) or error.",
		}, []string{"result"}),
		handovers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hashring_handovers_total",
			Help: "Partitions that changed hands: sent, taken, expired (a lease after the owner was lost) or lost (stopped before anyone had the state).",
		}, []string{"result"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hashring_refused_total",
			Help: "Requests answered 503 because their key had no owner in time.",
		}),
		lapses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hashring_lapses_total",
			Help: "Times when this member stopped answering because the others did not confirm it.",
		}),
	}
	for _, r := range []string{resultOK, resultNotOwner, resultUnreachable, resultError} {
		m.forwarded.WithLabelValues(r)
	}
	for _, r := range []string{resultSent, resultTaken, resultExpired, resultLost} {
		m.handovers.WithLabelValues(r)
	}
	registry.MustRegister(m.forwarded, m.handovers, m.refused, m.lapses,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "hashring_members",
			Help: "Members of the ring that this one sees, itself included.",
		}, func() float64 { return float64(len(n.view.Load().members)) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "hashring_partitions",
			Help: "Partitions that this member answers for now.",
		}, func() float64 { return float64(n.holds()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "hashring_keys",
			Help: "Keys whose state is in this member's memory.",
		}, func() float64 { return float64(n.state.Keys()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "hashring_passed_on",
			Help: "Upgraded connections that this member passes on to their keys' owners.",
		}, func() float64 { return float64(n.passed.count()) }),
	)
	return m
}

package eventsourcing

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	appended  *prometheus.CounterVec
	conflicts prometheus.Counter
	handled   *prometheus.CounterVec
	failures  *prometheus.CounterVec
	lag       *prometheus.GaugeVec
}

func newMetrics(registry prometheus.Registerer) metrics {
	m := metrics{
		appended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventsourcing_appended_total",
			Help: "Events that were written, by type. Those of a transaction that was then rolled back count too.",
		}, []string{"type"}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eventsourcing_conflicts_total",
			Help: "Appends that found the stream at another version.",
		}),
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventsourcing_handled_total",
			Help: "Events that projections of this instance have worked off.",
		}, []string{"projection"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventsourcing_failures_total",
			Help: "Batches that projections could not work off, and try again.",
		}, []string{"projection"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eventsourcing_lag_seconds",
			Help: "How old the oldest event is that a projection has yet to work off.",
		}, []string{"projection"}),
	}
	registry.MustRegister(m.appended, m.conflicts, m.handled, m.failures, m.lag)
	return m
}

package polling

import "github.com/prometheus/client_golang/prometheus"

// How a caller was answered.
const (
	resultFresh       = "fresh"        // 200, the caller had another version or none
	resultNotModified = "not_modified" // 304 at once
	resultChanged     = "changed"      // 200 after a wait
	resultTimedOut    = "timed_out"    // 304 after a wait
	resultFull        = "full"         // 304 at once, there was no room to wait
	resultDrained     = "drained"      // 304, because the service stops
	resultRefused     = "refused"      // 412, If-Match names another version
	resultGone        = "gone"         // not at all: the caller went away while it waited
	resultFailed      = "failed"       // with an error of the store, or that there is no such thing
)

// What was read of the store.
const (
	readVersion = "version" // for a request
	readLoad    = "load"    // for a request, or for all that are released together
	readCheck   = "check"   // a version, for those who wait
)

type metrics struct {
	waiters prometheus.Gauge
	answers *prometheus.CounterVec
	waited  prometheus.Histogram
	reads   *prometheus.CounterVec
	round   prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) metrics {
	m := metrics{
		waiters: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "polling_waiters",
			Help: "Long polls that wait.",
		}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "polling_answers_total",
			Help: "Polls, by what became of them.",
		}, []string{"result"}),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "polling_wait_seconds",
			Help:    "How long each long poll waited.",
			Buckets: []float64{.01, .1, .5, 1, 2.5, 5, 10, 20, 30, 60},
		}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "polling_reads_total",
			Help: "Reads of the store, by what was read and how that went.",
		}, []string{"read", "result"}),
		round: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "polling_check_round_seconds",
			Help: "How long it last took to read the versions of all that is waited for.",
		}),
	}
	for _, result := range []string{
		resultFresh, resultNotModified, resultChanged, resultTimedOut, resultFull,
		resultDrained, resultRefused, resultGone, resultFailed,
	} {
		m.answers.WithLabelValues(result)
	}
	for _, read := range []string{readVersion, readLoad, readCheck} {
		for _, result := range []string{"ok", "error"} {
			m.reads.WithLabelValues(read, result)
		}
	}
	registry.MustRegister(m.waiters, m.answers, m.waited, m.reads, m.round)
	return m
}

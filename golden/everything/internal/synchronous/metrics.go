package synchronous

import "github.com/prometheus/client_golang/prometheus"

// How work ends.
const (
	resultOK       = "ok"
	resultError    = "error"
	resultFull     = "full"     // it was not begun
	resultTimeout  = "timeout"  // its time was up
	resultCanceled = "canceled" // its caller went away
	resultPanic    = "panic"
)

var results = []string{resultOK, resultError, resultFull, resultTimeout, resultCanceled, resultPanic}

type metrics struct {
	work    *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer, inFlight func() float64, limit int) metrics {
	m := metrics{
		work: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "synchronous_work_total",
			Help: "Work that callers waited for, by how it ended: ok, error, full, timeout, canceled (the caller went away) or panic.",
		}, []string{"work", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "synchronous_work_seconds",
			Help:    "How long work took that was let in, however it ended.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"work"}),
	}
	registry.MustRegister(m.work, m.seconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "synchronous_in_flight",
			Help: "Callers whose work runs now.",
		}, inFlight),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "synchronous_limit",
			Help: "Callers whose work may run at once.",
		}, func() float64 { return float64(limit) }),
	)
	return m
}

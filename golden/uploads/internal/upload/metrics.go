package upload

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	created  prometheus.Counter
	finished *prometheus.CounterVec
	bytes    prometheus.Counter
	requests *prometheus.HistogramVec
	backlog  prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) (metrics, error) {
	m := metrics{
		created: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "upload_created_total", Help: "Uploads that were begun.",
		}),
		finished: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "upload_finished_total", Help: "Uploads by what became of them.",
		}, []string{"status"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "upload_ready_bytes_total", Help: "Bytes of the uploads that became ready.",
		}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "upload_storage_request_duration_seconds",
			Help:    "Requests to the storage, retries included.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"operation", "result"}),
		backlog: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "upload_sweep_backlog", Help: "Uploads that were due to be swept and are left after a sweep.",
		}),
	}
	for _, status := range []Status{Ready, Failed, Aborted, Deleted} {
		m.finished.WithLabelValues(string(status)) // so that a rate is there from the first one on
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.created, m.finished, m.bytes, m.requests, m.backlog} {
		errs = append(errs, registry.Register(c))
	}
	return m, errors.Join(errs...)
}

package workflow

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// What came of an attempt.
const (
	resultOK        = "ok"
	resultError     = "error"
	resultPermanent = "permanent"
)

type metrics struct {
	started  *prometheus.CounterVec
	finished *prometheus.CounterVec
	steps    *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer) (metrics, error) {
	m := metrics{
		started: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflow_started_total",
			Help: "Orders by whether the engine took them: started or refused.",
		}, []string{"result"}),
		finished: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflow_finished_total",
			Help: "Workflows that ended here, by outcome.",
		}, []string{"outcome"}),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "workflow_step_seconds",
			Help:    "Attempts of steps, by result: ok, error (tried again) or permanent.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"step", "result"}),
	}
	for _, result := range []string{"started", "refused"} {
		m.started.WithLabelValues(result) // so that a rate is there from the first one on
	}
	for _, o := range outcomes {
		m.finished.WithLabelValues(string(o))
	}
	for _, step := range []Step{Reserve, Charge, Ship, Refund, Release, Finish} {
		for _, result := range []string{resultOK, resultError, resultPermanent} {
			m.steps.WithLabelValues(string(step), result)
		}
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.started, m.finished, m.steps} {
		errs = append(errs, registry.Register(c))
	}
	return m, errors.Join(errs...)
}

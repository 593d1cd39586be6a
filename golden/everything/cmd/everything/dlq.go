package main

import (
	"context"

	"example.com/orders/internal/dlq"
)

// setupDLQ makes the jobs that failed for good dead letters, which operators can
// look at, requeue and discard.
func (a *App) setupDLQ(s *settings) start {
	config := loadConfig[dlq.Config](s)
	return func(context.Context) error {
		var err error
		a.dlq, err = dlq.New(config, a.log, a.metrics)
		if err != nil {
			return err
		}
		jobs := dlq.NewJobs(a.database, a.workers.Client)
		if err := a.dlq.Add(jobs); err != nil {
			return err
		}
		a.workers.SetDiscardedRetention(dlq.JobRetention(config))
		a.dlq.Mount(a.mux)
		a.life.Go("dlq", a.dlq.Run)
		a.life.Go("dlq jobs", func(ctx context.Context) error {
			a.dlq.Expect(jobs.Name(), a.workers.Kinds()...) // all are registered by now
			return jobs.Watch(ctx, a.dlq)
		})
		return nil
	}
}

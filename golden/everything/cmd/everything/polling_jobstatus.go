package main

import (
	"context"
	"net/http"
	"strconv"

	"example.com/orders/internal/polling"
	"example.com/orders/internal/setting"
)

// setupPollingJobstatus has GET /jobs/{id} answer with 304 where the caller knows
// the job's state, and wait for another one where the caller asks for that.
func (a *App) setupPollingJobstatus(s *settings) start {
	config := loadConfig[polling.Config](s)
	s.refuseTogether(setting.Check(config.CheckInterval > 0,
		"POLLING_CHECK_INTERVAL=%s: must be more than 0, or nobody who waits for a job is told of a change", config.CheckInterval))
	return func(context.Context) error {
		jobs := a.polling.Resource(a.jobstatus.Polled(a.database))
		a.jobstatus.AnswerWith(func(w http.ResponseWriter, r *http.Request, id int64) error {
			return jobs.Serve(w, r, strconv.FormatInt(id, 10))
		})
		return nil
	}
}

package main

import (
	"context"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/jobstatus"
)

// setupJobstatus shows callers their jobs.
func (a *App) setupJobstatus(s *settings) start {
	config := loadConfig[jobstatus.Config](s)
	return func(context.Context) error {
		var err error
		a.jobstatus, err = jobstatus.New(a.workers, config, a.metrics)
		if err != nil {
			return err
		}
		a.mux.Handle("GET /jobs", httpapi.Handler(a.jobstatus.ServeJobs))
		a.mux.Handle("GET /jobs/{id}", httpapi.Handler(a.jobstatus.ServeJob))
		a.mux.Handle("POST /jobs/{id}/cancel", httpapi.Handler(a.jobstatus.ServeCancel))
		return nil
	}
}

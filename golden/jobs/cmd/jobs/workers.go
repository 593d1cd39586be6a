package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"example.com/orders/internal/database"
	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/lifecycle"
	"example.com/orders/internal/setting"
	"example.com/orders/internal/workers"
	"example.com/orders/internal/workers/orders"
)

// setupWorkers builds the pool that works jobs. It starts when all parts have
// registered their kinds with it, and begins to drain as soon as the service
// goes down.
func (a *App) setupWorkers(s *settings) start {
	config := loadConfig[workers.Config](s)
	databaseConfig := loadConfig[database.Config](s)
	ordersConfig := loadConfig[orders.Config](s)
	life := loadConfig[lifecycle.Config](s)
	s.refuseTogether(setting.Within("WORKERS_DRAIN_TIMEOUT", config.DrainTimeout, "SHUTDOWN_TIMEOUT", life.ShutdownTimeout,
		"or running jobs are cut off before their time"))
	return func(ctx context.Context) error {
		if databaseConfig.Migrate {
			if err := workers.Migrate(ctx, a.database, a.log); err != nil {
				return err
			}
		}
		var err error
		a.workers, err = workers.New(a.database, config, a.log, a.metrics, a.tracing)
		if err != nil {
			return err
		}
		a.mux.Handle("POST /jobs", httpapi.Handler(a.workers.Submit))
		a.life.OnStart("workers", a.workers.Start)
		a.life.OnDrain(a.workers.Drain)
		a.life.OnStop("workers", a.workers.Stop)
		orders.Register(a.workers, a.database, ordersConfig)
		a.mux.Handle("GET /invoices/{order}", httpapi.Handler(a.getInvoice))
		return nil
	}
}

func (a *App) getInvoice(w http.ResponseWriter, r *http.Request) error {
	order := r.PathValue("order")
	invoice, err := orders.Get(r.Context(), a.database, order)
	if errors.Is(err, orders.ErrNoInvoice) {
		return httpapi.NewProblem(http.StatusNotFound, fmt.Sprintf("There is no order %q, or its invoice is not written yet.", order))
	}
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, r, http.StatusOK, invoice)
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"example.com/everything/internal/database"
	"example.com/everything/internal/httpapi"
	"example.com/everything/internal/workers"
	"example.com/everything/internal/workers/orders"
)

// setupWorkers builds the pool that works jobs. It starts when all parts have
// registered their kinds with it, and begins to drain as soon as the service
// goes down.
func (a *App) setupWorkers(ctx context.Context) error {
	config, err := loadConfig[workers.Config](a.getenv)
	if err != nil {
		return err
	}
	databaseConfig, err := loadConfig[database.Config](a.getenv)
	if err != nil {
		return err
	}
	if databaseConfig.Migrate {
		if err := workers.Migrate(ctx, a.database, a.log); err != nil {
			return err
		}
	}
	a.workers, err = workers.New(a.database, config, a.log, a.metrics, a.tracing)
	if err != nil {
		return err
	}
	a.mux.Handle("POST /jobs", httpapi.Handler(a.workers.Submit))
	a.life.OnStart("workers", a.workers.Start)
	a.life.OnDrain(a.workers.Drain)
	a.life.OnStop("workers", a.workers.Stop)
	return a.setupWorkersOrders()
}

// setupWorkersOrders adds the example's kinds of jobs.
func (a *App) setupWorkersOrders() error {
	config, err := loadConfig[orders.Config](a.getenv)
	if err != nil {
		return err
	}
	orders.Register(a.workers, a.database, config)
	a.mux.Handle("GET /invoices/{order}", httpapi.Handler(a.getInvoice))
	return nil
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

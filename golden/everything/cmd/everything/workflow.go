package main

import (
	"context"

	"example.com/orders/internal/lifecycle"
	"example.com/orders/internal/setting"
	"example.com/orders/internal/workflow"
)

// setupWorkflow fulfils orders, as an example of work of many steps, by the
// workflow engine that this service was made with.
func (a *App) setupWorkflow(s *settings) start {
	config := loadConfig[workflow.Config](s)
	engine := loadConfig[workflow.EngineConfig](s)
	life := loadConfig[lifecycle.Config](s)
	s.refuseTogether(setting.Within("WORKFLOW_STEP_TIMEOUT", config.StepTimeout, "SHUTDOWN_TIMEOUT", life.ShutdownTimeout,
		"or a step is cut off when the service stops"))
	return func(ctx context.Context) error {
		var err error
		a.workflow, err = workflow.New(ctx, config, engine, workflow.Deps{
			Database: a.database,
			Log:      a.log,
			Metrics:  a.metrics,
			Tracing:  a.tracing,
		})
		if err != nil {
			return err
		}
		a.life.OnStop("workflow engine", a.workflow.Close)
		a.life.OnReady("workflow", a.workflow.Ready)
		a.workflow.Mount(a.mux)
		a.life.OnStart("workflow", a.workflow.Launch)
		a.life.Go("workflow", a.workflow.Run)
		return nil
	}
}

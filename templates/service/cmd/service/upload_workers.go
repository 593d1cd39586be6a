package main

import "context"

// setupUploadWorkers has each upload looked at by a job, once it is ready.
func (a *App) setupUploadWorkers(*settings) start {
	return func(context.Context) error {
		a.upload.InspectWith(a.workers)
		return nil
	}
}

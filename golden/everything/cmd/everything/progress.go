package main

import (
	"bytes"
	"context"
	"embed"
	"net/http"
	"time"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/lifecycle"
	"example.com/orders/internal/progress"
	"example.com/orders/internal/progress/imports"
	"example.com/orders/internal/setting"
)

// setupProgress has jobs report how far they have come, shows it to callers, and
// brings an example: a price list that is imported page by page.
func (a *App) setupProgress(s *settings) start {
	config := loadConfig[progress.Config](s)
	importsConfig := loadConfig[imports.Config](s)
	life := loadConfig[lifecycle.Config](s)
	s.refuseTogether(setting.Within("PROGRESS_WRITE_TIMEOUT", config.WriteTimeout, "SHUTDOWN_TIMEOUT", life.ShutdownTimeout,
		"or the last word of a job that is cut off is not written"))
	return func(context.Context) error {
		var err error
		a.progress, err = progress.New(a.workers, a.database, config, a.log, a.metrics)
		if err != nil {
			return err
		}
		imports.Register(a.workers, a.database, importsConfig)
		a.mux.Handle("GET /jobs/{id}/progress", httpapi.Handler(a.progress.ServeProgress))
		a.mux.Handle("GET /demo/progress", progressDemo("progress.html", "text/html; charset=utf-8"))
		a.mux.Handle("GET /demo/progress.js", progressDemo("progress.js", "text/javascript; charset=utf-8"))
		return nil
	}
}

//go:embed progress.html progress.js
var progressDemoFiles embed.FS

// progressDemo serves a file of the demo page, which may load and call nothing
// but this service.
func progressDemo(name, contentType string) http.Handler {
	return httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
		content, err := progressDemoFiles.ReadFile(name)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
		return nil
	})
}

package main

import (
	"context"
	"crypto/rand"

	"example.com/orders/internal/upload"
	"example.com/orders/internal/upload/devs3"
)

// setupUpload takes files straight to an S3 storage. Where none is configured,
// it runs one in the process, unless this is a production build.
func (a *App) setupUpload(s *settings) start {
	config := loadConfig[upload.Config](s)
	var development devs3.Config
	if config.Development() {
		development = loadConfig[devs3.Config](s)
	}
	return func(ctx context.Context) error {
		if config.Development() {
			if err := a.startDevS3(ctx, development, &config); err != nil {
				return err
			}
		}
		var err error
		a.upload, err = upload.New(ctx, config, upload.Deps{
			Database: a.database,
			Log:      a.log,
			Metrics:  a.metrics,
			Tracing:  a.tracing,
		})
		if err != nil {
			return err
		}
		a.life.OnStop("upload", func(context.Context) error { a.upload.Close(); return nil })
		a.upload.Mount(a.mux)
		a.life.Go("upload sweeper", a.upload.Run)
		return nil
	}
}

// startDevS3 runs the development storage and points config at it.
func (a *App) startDevS3(ctx context.Context, development devs3.Config, config *upload.Config) error {
	config.Bucket, config.Region, config.PathStyle = "uploads", devs3.Region, true
	if config.AccessKey == "" {
		config.AccessKey, config.SecretKey = rand.Text(), rand.Text()
	}
	server, err := devs3.Start(ctx, development, devs3.Key{Access: config.AccessKey, Secret: config.SecretKey}, config.Bucket)
	if err != nil {
		return err
	}
	a.life.OnStop("upload's S3 server", server.Stop)
	config.Endpoint = server.Endpoint
	a.log.WarnContext(ctx, "UPLOAD_S3_BUCKET is not set: uploads go to an S3 server in this process",
		"endpoint", server.Endpoint, "dir", development.Dir)
	return nil
}

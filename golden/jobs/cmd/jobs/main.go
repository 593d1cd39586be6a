// The command runs the service until it is told to stop by SIGINT or SIGTERM.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal does not wait
	err := run(ctx, os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run builds the service from its environment, says on stdout where it
// listens, logs to stderr, and returns when ctx is done and everything that was
// started has stopped.
func run(ctx context.Context, getenv func(string) string, stdout, stderr io.Writer) error {
	app := newApp()
	parts := app.parts()
	// Parts of your own start here, after those that they build on:
	//
	//	parts = append(parts, part{"billing", app.setupBilling})
	return app.run(ctx, getenv, parts, stdout, stderr)
}

//go:build production

package devs3

import (
	"context"
	"errors"
)

// A Server is what a production build does not have.
type Server struct {
	// Endpoint is the server's URL.
	Endpoint string
}

func available() error {
	return errors.New("UPLOAD_S3_BUCKET is not set, and a production build has no S3 server of its own: set it, and for a storage that is not AWS UPLOAD_S3_ENDPOINT too")
}

// Start reports that there is no S3 server in a production build.
func Start(context.Context, Config, Key, string) (*Server, error) {
	return nil, available()
}

// Stop does nothing.
func (*Server) Stop(context.Context) error { return nil }

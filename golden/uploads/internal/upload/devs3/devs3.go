// Package devs3 is an S3 server inside the process, for development and tests:
// the service can be tried with nothing else installed. It is a real one
// (versitygw on a directory): it checks signatures, expiry, lengths and
// checksums, and refuses what is wrong.
//
// A build with the tag `production` holds none of it.
package devs3

import (
	"context"
	"errors"
	"net"

	"example.com/orders/internal/setting"
)

// Region is the region that the server is in.
const Region = "us-east-1"

// Config says where the server keeps its objects and where it listens.
type Config struct {
	// Dir is the directory that holds the objects. It is made where it is
	// missing; its file system must keep extended attributes.
	Dir string `env:"UPLOAD_DEV_S3_DIR" envDefault:"data/s3"`
	// Addr is the loopback address to listen on; port 0 takes a free one.
	Addr string `env:"UPLOAD_DEV_S3_ADDR" envDefault:"127.0.0.1:0"`
}

// Validate reports an address that others could reach: the server speaks plain
// HTTP and lets every web page in. In a production build it reports that there is
// no server.
func (c Config) Validate() error {
	if err := available(); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port) // asks no server
	}
	ip := net.ParseIP(host)
	return errors.Join(
		setting.Check(err == nil, "UPLOAD_DEV_S3_ADDR=%s: %w", c.Addr, err),
		setting.Check(err != nil || ip != nil && ip.IsLoopback(), "UPLOAD_DEV_S3_ADDR=%s: must be a loopback address such as 127.0.0.1:9000", c.Addr),
	)
}

// A Key is the key pair that the server takes requests from.
type Key struct{ Access, Secret string }

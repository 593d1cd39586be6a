//go:build !production

package devs3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// startTimeout is how long the server may take until it listens.
const startTimeout = 10 * time.Second

// A Server is running from [Start] on.
type Server struct {
	// Endpoint is the server's URL.
	Endpoint string

	cancel context.CancelFunc
	done   chan struct{}
	err    error // read after done is closed
}

func available() error { return nil }

// Start runs the server, and returns once it listens and has the bucket.
// Requests are taken from key alone. A process can have one at a time. The
// caller stops it.
func Start(ctx context.Context, config Config, key Key, bucket string) (*Server, error) {
	backend, err := open(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("UPLOAD_DEV_S3_DIR=%s: %w", config.Dir, err)
	}
	addr, err := freeAddr(ctx, config.Addr)
	if err != nil {
		return nil, fmt.Errorf("UPLOAD_DEV_S3_ADDR=%s: %w", config.Addr, err)
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{Endpoint: "http://" + addr, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = embedgw.RunVersityGW(runCtx, backend, &embedgw.Config{
			RootUserAccess: key.Access,
			RootUserSecret: key.Secret,
			// Without a service of its own it announces that on stdout.
			IAMService:        auth.NewIAMServiceSingle(auth.Account{Access: key.Access, Secret: key.Secret, Role: auth.RoleAdmin}),
			Region:            Region,
			Ports:             []string{addr},
			MaxConnections:    1024,
			MaxRequests:       512,
			MultipartMaxParts: 10_000,
			CORSAllowOrigin:   "*",
			Quiet:             true,
		})
	}()
	err = s.listening(ctx, addr)
	if err == nil {
		err = createBucket(ctx, s.Endpoint, key, bucket)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("UPLOAD_DEV_S3_ADDR=%s: %w", config.Addr, err), s.Stop(ctx))
	}
	return s, nil
}

// Stop ends the server and waits until it has ended.
func (s *Server) Stop(ctx context.Context) error {
	s.cancel()
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return fmt.Errorf("the S3 server did not stop in time: %w", ctx.Err())
	}
}

// open returns the backend that keeps the buckets below dir, as folders.
func open(dir string) (rooted, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return rooted{}, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return rooted{}, err
	}
	if err := (meta.XattrMeta{}).Test(dir); err != nil {
		return rooted{}, fmt.Errorf("%w: choose another directory, or set UPLOAD_S3_BUCKET and UPLOAD_S3_ENDPOINT", err)
	}
	// New moves the whole process into dir, where the relative paths of all
	// other parts would lead elsewhere: move back.
	cwd, err := os.Getwd()
	if err != nil {
		return rooted{}, err
	}
	below, err := posix.New(dir, meta.XattrMeta{}, posix.PosixOpts{})
	if err := errors.Join(err, os.Chdir(cwd)); err != nil {
		return rooted{}, err
	}
	return rooted{below: below, dir: dir}, nil
}

func createBucket(ctx context.Context, endpoint string, key Key, bucket string) error {
	client := s3.New(s3.Options{
		BaseEndpoint: &endpoint,
		UsePathStyle: true,
		Region:       Region,
		Credentials:  credentials.NewStaticCredentialsProvider(key.Access, key.Secret, ""),
	})
	_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
	// It may be there from an earlier run, when the key was another.
	var exists *types.BucketAlreadyExists
	var owned *types.BucketAlreadyOwnedByYou
	if errors.As(err, &exists) || errors.As(err, &owned) {
		return nil
	}
	return err
}

// freeAddr fills in the port where addr leaves it open: the server takes no
// listener.
func freeAddr(ctx context.Context, addr string) (string, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	addr = l.Addr().String()
	return addr, l.Close()
}

// listening waits until the server accepts connections.
func (s *Server) listening(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.done:
			return errors.New("the S3 server ended at once")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

//go:build !production

package devs3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"
)

// Tests here take turns: a process can have one server at a time.

func start(t *testing.T, dir string) (*Server, *s3.Client) {
	t.Helper()
	key := Key{rand.Text(), rand.Text()}
	server, err := Start(t.Context(), Config{Dir: dir, Addr: "127.0.0.1:0"}, key, "things")
	if err != nil {
		t.Fatal(err)
	}
	return server, s3.New(s3.Options{
		BaseEndpoint: &server.Endpoint, UsePathStyle: true, Region: Region,
		Credentials: credentials.NewStaticCredentialsProvider(key.Access, key.Secret, ""),
	})
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// It keeps its objects in its directory, whatever its key, and leaves the
// process's working directory alone.
func TestServerKeepsItsObjects(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(),
		// The HTTP library's clock runs as long as the process, and its pool of
		// goroutines notices that it was stopped seconds later.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	server, client := start(t, dir)
	want := []byte("hello")
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("things"), Key: aws.String("a/b-1"), Body: bytes.NewReader(want),
	}); err != nil {
		t.Fatal(err)
	}
	stop(t, server)

	server, client = start(t, dir)
	defer stop(t, server)
	out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("things"), Key: aws.String("a/b-1")})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(out.Body)
	if err := errors.Join(err, out.Body.Close()); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("things")})
	if err != nil || len(list.Contents) != 1 || aws.ToString(list.Name) != "things" {
		t.Errorf("the list: %+v, %v", list, err)
	}
	if now, err := os.Getwd(); err != nil || now != cwd {
		t.Errorf("the process moved from %s to %s, %v", cwd, now, err)
	}
}

func TestServerRefuses(t *testing.T) {
	dir := t.TempDir()
	server, client := start(t, dir)
	defer stop(t, server)

	if _, err := Start(t.Context(), Config{Dir: t.TempDir(), Addr: "127.0.0.1:0"}, Key{"a", "b"}, "things"); err == nil || !strings.Contains(err.Error(), "only one instance") {
		t.Errorf("a second server: %v", err)
	}
	resp, err := http.Get(server.Endpoint + "/things/a") //nolint:noctx // the server stops with the test
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("without a key: %s, %v", resp.Status, err)
	}
	// What is not passed on does nothing, here nor in the working directory.
	_, err = client.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: aws.String("things")})
	var refused smithy.APIError
	if !errors.As(err, &refused) || refused.ErrorCode() != "NotImplemented" {
		t.Errorf("an operation that is not passed on: %v", err)
	}
	if _, err := os.Stat(dir + "/things"); err != nil {
		t.Errorf("the bucket is gone: %v", err)
	}
}

// Package pubsubtest gives tests a NATS server of their own, to stop and start
// again, or a place of their own on one that is there.
package pubsubtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/everything/internal/waittest"
)

// Env returns the variables with which the service has topics of the test's
// own: a directory for a server in its process, or a stream of its own on the
// servers in TEST_NATS_URL.
func Env(t testing.TB) map[string]string {
	t.Helper()
	env := map[string]string{
		"NATS_URL":      os.Getenv("TEST_NATS_URL"),
		"PUBSUB_DIR":    filepath.Join(t.TempDir(), "pubsub"),
		"PUBSUB_STREAM": "test_" + strings.ToLower(rand.Text()),
		// A server in TEST_NATS_URL sets this aside for each test.
		"PUBSUB_MAX_BYTES": strconv.Itoa(16 << 20),
	}
	if url := env["NATS_URL"]; url != "" {
		t.Cleanup(func() { deleteStream(t, url, env["PUBSUB_STREAM"]) })
	}
	return env
}

func deleteStream(t testing.TB, url, stream string) {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Errorf("TEST_NATS_URL: %v", err)
		return
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := js.DeleteStream(ctx, stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Error(err)
	}
}

// A Server is a NATS server with JetStream on a port of its own.
type Server struct {
	// URL is where clients find it, the same after each start.
	URL string

	t       testing.TB
	options server.Options
	server  *server.Server
}

// StartServer runs a server in this process until the test ends.
func StartServer(t testing.TB) *Server {
	t.Helper()
	s := newServer(t, "n0")
	s.Start()
	return s
}

// StartCluster runs three servers that form a cluster, until the test ends.
func StartCluster(t testing.TB) []*Server {
	t.Helper()
	servers := make([]*Server, 3)
	routes := make([]string, len(servers))
	for i := range servers {
		servers[i] = newServer(t, "n"+strconv.Itoa(i))
		routes[i] = fmt.Sprintf("nats://127.0.0.1:%d", freePort(t))
	}
	for i, s := range servers {
		_, port, _ := strings.Cut(strings.TrimPrefix(routes[i], "nats://"), ":")
		number, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		s.options.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: number}
		s.options.Routes = server.RoutesFromStr(strings.Join(routes, ","))
		s.start()
	}
	for _, s := range servers {
		s.wait()
	}
	waittest.Until(t, func() error {
		for _, s := range servers {
			if s.server.JetStreamIsLeader() && len(s.server.JetStreamClusterPeers()) == len(servers) {
				return nil
			}
		}
		return errors.New("the cluster found no leader")
	})
	return servers
}

// URLs returns what to set NATS_URL to.
func URLs(servers []*Server) string {
	urls := make([]string, 0, len(servers))
	for _, s := range servers {
		urls = append(urls, s.URL)
	}
	return strings.Join(urls, ",")
}

func newServer(t testing.TB, name string) *Server {
	t.Helper()
	port := freePort(t)
	s := &Server{
		URL: fmt.Sprintf("nats://127.0.0.1:%d", port),
		t:   t,
		options: server.Options{
			ServerName: name,
			Host:       "127.0.0.1",
			Port:       port,
			JetStream:  true,
			StoreDir:   t.TempDir(),
			NoSigs:     true,
			NoLog:      true,
		},
	}
	t.Cleanup(s.Stop)
	return s
}

// freePort returns a port that nobody listens on just now.
func freePort(t testing.TB) int {
	t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // nothing was written
	return l.Addr().(*net.TCPAddr).Port
}

// Start runs the server again, on the same port with what it has stored.
func (s *Server) Start() {
	s.t.Helper()
	s.start()
	s.wait()
}

func (s *Server) start() {
	s.t.Helper()
	options := s.options // the server writes to them
	var err error
	if s.server, err = server.NewServer(&options); err != nil {
		s.t.Fatalf("NATS server: %v", err)
	}
	s.server.Start()
}

func (s *Server) wait() {
	s.t.Helper()
	if !s.server.ReadyForConnections(30 * time.Second) {
		s.t.Fatal("the NATS server does not take connections")
	}
}

// Stop stops the server and waits until it has.
func (s *Server) Stop() {
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
		s.server = nil
	}
}

// Wipe removes what the stopped server has stored.
func (s *Server) Wipe() {
	s.t.Helper()
	if err := os.RemoveAll(filepath.Join(s.options.StoreDir, server.JetStreamStoreDir)); err != nil {
		s.t.Fatal(err)
	}
}

// IsLeader reports whether the server leads the stream.
func (s *Server) IsLeader(stream string) bool {
	return s.server != nil && s.server.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream)
}

// IsRunning reports whether the server was started and not stopped since.
func (s *Server) IsRunning() bool { return s.server != nil }

// HasStream reports whether the server has a stream of this name.
func (s *Server) HasStream(stream string) bool {
	s.t.Helper()
	conn, err := nats.Connect(s.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err = js.Stream(ctx, stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		s.t.Fatal(err)
	}
	return err == nil
}

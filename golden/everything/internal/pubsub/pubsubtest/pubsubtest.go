// Package pubsubtest gives tests a NATS server of their own, to stop and start
// again, or a place of their own on one that is there.
package pubsubtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/orders/internal/waittest"
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
	// apart is set where it has a process of its own in place of server.
	apart   bool
	process *exec.Cmd
}

// StartServer runs a server in this process until the test ends.
func StartServer(t testing.TB) *Server {
	t.Helper()
	s := newServer(t, "n0")
	s.Start()
	return s
}

// StartProcess is [StartServer], but the server has a process of its own, which can
// be killed. The test's TestMain must call [Serve].
func StartProcess(t testing.TB) *Server {
	t.Helper()
	s := newServer(t, "n0")
	s.apart = true
	s.Start()
	return s
}

// StartCluster runs three servers that form a cluster, until the test ends.
func StartCluster(t testing.TB) []*Server {
	t.Helper()
	servers := startCluster(t, false)
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

// StartProcesses is [StartCluster] as [StartProcess] is StartServer. Who opens a bus
// on it waits for its leader.
func StartProcesses(t testing.TB) []*Server {
	t.Helper()
	return startCluster(t, true)
}

func startCluster(t testing.TB, apart bool) []*Server {
	t.Helper()
	servers := make([]*Server, 3)
	routes := make([]string, len(servers))
	for i := range servers {
		servers[i] = newServer(t, "n"+strconv.Itoa(i))
		servers[i].apart = apart
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
	if s.apart {
		s.startProcess()
		return
	}
	options := s.options // the server writes to them
	var err error
	if s.server, err = server.NewServer(&options); err != nil {
		s.t.Fatalf("NATS server: %v", err)
	}
	s.server.Start()
}

// configVariable names the file that a process of a server's own is configured by.
const configVariable = "PUBSUBTEST_SERVER"

// Serve is the server, where this process was begun to be one, until it is killed or
// the test that began it ends; it reports whether it was. Call it first in TestMain.
func Serve() bool {
	file := os.Getenv(configVariable)
	if file == "" {
		return false
	}
	options, err := server.ProcessConfigFile(file)
	if err == nil {
		options.NoSigs, options.NoLog = true, true
		var s *server.Server
		if s, err = server.NewServer(options); err == nil {
			s.Start()
			_, _ = io.Copy(io.Discard, os.Stdin) // its end is that of the test
			s.Shutdown()
			s.WaitForShutdown()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "NATS server:", err) // the test waits in vain, and shows it
	}
	return true
}

func (s *Server) startProcess() {
	s.t.Helper()
	config := fmt.Sprintf("server_name: %s\nlisten: 127.0.0.1:%d\njetstream { store_dir: %q }\n",
		s.options.ServerName, s.options.Port, s.options.StoreDir)
	if cluster := s.options.Cluster; cluster.Name != "" {
		var routes []string
		for _, route := range s.options.Routes {
			routes = append(routes, route.String())
		}
		config += fmt.Sprintf("cluster { name: %s, listen: 127.0.0.1:%d, routes: [%s] }\n", cluster.Name, cluster.Port, strings.Join(routes, ","))
	}
	file := filepath.Join(s.t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.process = exec.Command(os.Args[0]) //nolint:gosec,noctx // this very test binary; Kill ends it
	s.process.Env = append(os.Environ(), configVariable+"="+file)
	s.process.Stderr = s.t.Output()
	if _, err := s.process.StdinPipe(); err != nil { // ends with this process
		s.t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// Kill ends the server's process with SIGKILL, and waits until it is gone.
func (s *Server) Kill() {
	if s.process != nil {
		_ = s.process.Process.Kill() // it may have ended by itself
		_ = s.process.Wait()         // says that it was killed
		s.process = nil
	}
}

func (s *Server) wait() {
	s.t.Helper()
	if s.apart {
		waittest.Until(s.t, func() error {
			conn, err := nats.Connect(s.URL)
			if err == nil {
				conn.Close()
			}
			return err
		})
		return
	}
	if !s.server.ReadyForConnections(30 * time.Second) {
		s.t.Fatal("the NATS server does not take connections")
	}
}

// Stop stops the server and waits until it has. One that has a process is killed.
func (s *Server) Stop() {
	s.Kill()
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
	s.t.Helper()
	if s.process != nil {
		info := s.stream(stream)
		return info != nil && info.Cluster != nil && info.Cluster.Leader == s.options.ServerName
	}
	return s.server != nil && s.server.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream)
}

// IsRunning reports whether the server was started and not stopped since.
func (s *Server) IsRunning() bool { return s.server != nil || s.process != nil }

// HasStream reports whether the server has a stream of this name.
func (s *Server) HasStream(stream string) bool {
	s.t.Helper()
	return s.stream(stream) != nil
}

// stream returns what the server says of a stream, nil where it has none.
func (s *Server) stream(name string) *jetstream.StreamInfo {
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
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return stream.CachedInfo()
}

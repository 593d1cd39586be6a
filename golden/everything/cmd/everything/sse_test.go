package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/orders/internal/browsertest"
	"example.com/orders/internal/enginetest"
	"example.com/orders/internal/sse/ssetest"
	"example.com/orders/internal/waittest"
)

func sseSetStatus(t testing.TB, url, order, status string) {
	t.Helper()
	code, body := send(t, http.MethodPut, url+"/orders/"+order+"/status", fmt.Sprintf(`{"status":%q}`, status))
	mustEqual(t, body, code, http.StatusOK)
}

func sseWant(t testing.TB, s *ssetest.Stream, statuses ...string) {
	t.Helper()
	for _, status := range statuses {
		e, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		mustEqual(t, "the event's type", e.Type, "status")
		mustEqual(t, "the event", e.Data, fmt.Sprintf(`{"status":%q}`, status))
	}
}

func TestSSERoutes(t *testing.T) {
	s := startService(t, map[string]string{"SSE_MAX_EVENT_BYTES": "100"})
	for _, tt := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{http.MethodPut, "/orders/42/status", `{"status":"packed"}`, http.StatusOK, `"event_id":"`},
		{http.MethodPut, "/orders/42/status", `{"status":""}`, http.StatusBadRequest, "status:"},
		{http.MethodPut, "/orders/42/status", `{}`, http.StatusBadRequest, "status:"},
		{http.MethodPut, "/orders/a.b/status", `{"status":"x"}`, http.StatusBadRequest, "id"},
		{http.MethodPut, "/orders/42/status", `{"status":"` + strings.Repeat("x", 100) + `"}`, http.StatusRequestEntityTooLarge, "too large"},
		{http.MethodGet, "/orders/a*/events", "", http.StatusBadRequest, "id"},
		{http.MethodGet, "/demo/sse", "", http.StatusOK, "<!doctype html>"},
		{http.MethodGet, "/demo/sse.js", "", http.StatusOK, "EventSource"},
	} {
		status, body := send(t, tt.method, s.URL+tt.path, tt.body)
		mustEqual(t, tt.path+" "+body, status, tt.status)
		if err := contains(body, tt.answer); err != nil {
			t.Error(err)
		}
	}
}

// The whole service's timeouts, middleware and shutdown around a stream.
func TestSSEStream(t *testing.T) {
	s := startService(t, map[string]string{
		"HTTP_READ_TIMEOUT": "1s", "HTTP_WRITE_TIMEOUT": "1s", "SSE_HEARTBEAT": "50ms",
		// These must not be more, where their parts are there.
		"SYNCHRONOUS_TIMEOUT": "1s", "HASHRING_WAIT": "100ms", "HASHRING_FORWARD_TIMEOUT": "400ms",
	})
	stream := ssetest.Open(t, s.URL+"/orders/42/events", "")
	for begin := time.Now(); time.Since(begin) < 1500*time.Millisecond; {
		sseSetStatus(t, s.URL, "1", "moves the position")
		if err := stream.Position(); err != nil {
			t.Fatal(err)
		}
	}
	sseSetStatus(t, s.URL, "42", "packed")
	sseWant(t, stream, "packed")
	begin := time.Now()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the service took %s to stop with an open stream", took)
	}
	if _, err := stream.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v, want its proper end", err)
	}
}

// A client announces a body and sends none: it keeps its place for as long as a
// request may take, and holds up the shutdown for no longer.
func TestSSEBodyThatNeverComes(t *testing.T) {
	s := startService(t, map[string]string{"HTTP_READ_TIMEOUT": "1s", "SSE_MAX_CLIENTS": "1"})
	stall := func() {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://")) //nolint:noctx // loopback
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // nothing is expected of it
		if _, err := io.WriteString(conn, "GET /orders/42/events HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		waittest.Until(t, func() error {
			if open := sseMetric(t, s.URL, "sse_clients"); open != 1 {
				return fmt.Errorf("%v clients are in", open)
			}
			return nil
		})
	}
	stall()
	waittest.Until(t, func() error {
		if open := sseMetric(t, s.URL, "sse_clients"); open != 0 {
			return fmt.Errorf("%v clients are in", open)
		}
		return nil
	})
	stall()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// The server is killed: the stream breaks off, and what the client has is of no
// use to the next process, or is resumed where pub/sub keeps the events.
func TestSSESurvivesAKill(t *testing.T) {
	first := startProcess(t, nil)
	stream := ssetest.Open(t, first.URL+"/orders/42/events", "")
	if err := stream.Position(); err != nil {
		t.Fatal(err)
	}
	sseSetStatus(t, first.URL, "42", "packed")
	sseWant(t, stream, "packed")
	first.Kill()
	if _, err := stream.Next(); err == nil {
		t.Fatal("the stream goes on without its server")
	}
	second := startProcess(t, first.Env)
	again := ssetest.Open(t, second.URL+"/orders/42/events", stream.LastID)
	sseSetStatus(t, second.URL, "42", "shipped")
	e, err := again.Next()
	if err == nil && e.Type == "reset" {
		e, err = again.Next()
	}
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "the next event", e.Data, `{"status":"shipped"}`)
}

// A proxy that buffers answers passes events on at once, because it is told to.
func TestSSEThroughNginx(t *testing.T) {
	nginx := enginetest.Env(t, "TEST_NGINX", "the nginx binary")
	s := startService(t, nil)
	proxy := sseStartNginx(t, nginx, s.URL)

	stream := ssetest.Open(t, proxy+"/told/orders/42/events", "")
	if err := stream.Position(); err != nil {
		t.Fatal(err)
	}
	held := sseHeldBack(t, proxy+"/deaf/orders/42/events")
	for _, status := range []string{"packed", "shipped", "delivered"} {
		sseSetStatus(t, s.URL, "42", status)
		sseWant(t, stream, status)
	}
	// The control: the same proxy without that header does hold events back.
	select {
	case line := <-held:
		t.Errorf("nginx does not buffer at all in this test: got %q", line)
	case <-time.After(300 * time.Millisecond):
	}
}

// sseStartNginx returns the URL of an nginx in front of upstream, which buffers.
func sseStartNginx(t testing.TB, binary, upstream string) string {
	t.Helper()
	dir := t.TempDir()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := socket.Addr().String()
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	proxy_buffering on; proxy_http_version 1.1; gzip on; gzip_types *;
	server {
		listen %[2]s;
		location /told/ { proxy_pass %[3]s/; }
		location /deaf/ { proxy_pass %[3]s/; proxy_ignore_headers X-Accel-Buffering; }
	}
}`, dir, addr, upstream)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-p", dir, "-c", file, "-e", filepath.Join(dir, "error.log")) //nolint:gosec // whoever runs the test named it
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatalf("TEST_NGINX: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // says that it was killed
	})
	waittest.Until(t, func() error {
		conn, err := net.Dial("tcp", addr) //nolint:noctx // loopback
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	return "http://" + addr
}

// sseHeldBack opens the stream at url and hands over the first line that comes.
func sseHeldBack(t testing.TB, url string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	lines, done := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(done)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			return // nothing came before the test was over
		}
		defer func() { _ = resp.Body.Close() }() // is cut off
		if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err == nil {
			lines <- line
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return lines
}

// A real browser shows each event once, in order, while its connections are cut
// again and again; and says so when events are lost.
func TestSSEInTheBrowser(t *testing.T) {
	s := startService(t, map[string]string{"SSE_RETRY": "20ms", "SSE_RETRY_SPREAD": "0s"})
	proxy := sseStartCutter(t, s.URL)
	page := browsertest.Open(t, proxy.URL+"/demo/sse?order=7")
	page.WaitFor(`document.getElementById("state").value === "open"`)
	const events = 20
	for i := range events {
		sseSetStatus(t, s.URL, "7", fmt.Sprintf("step %d", i))
		if i%3 == 0 {
			proxy.Cut()
		}
	}
	page.WaitFor(fmt.Sprintf(`document.getElementById("status").value === "step %d"`, events-1))
	var shown []string
	page.Eval(`[...document.querySelectorAll("#events li")].reverse().map(li => li.textContent)`, &shown)
	mustEqual(t, fmt.Sprintf("events shown, of %q", shown), len(shown), events)
	for i, line := range shown {
		if err := contains(line, fmt.Sprintf(" step %d", i)); err != nil {
			t.Error(err)
		}
	}
	if proxy.cuts.Load() == 0 {
		t.Error("no connection was cut")
	}

	// The form is how a person sets a status.
	page.Eval(`document.getElementById("input").value = "by hand", document.querySelector("button").click()`, nil)
	page.WaitFor(`document.getElementById("status").value === "by hand"`)
}

// A sseCutter is a proxy that can cut the streams which go through it.
type sseCutter struct {
	URL  string
	cuts atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func sseStartCutter(t testing.TB, upstream string) *sseCutter {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &sseCutter{URL: "http://" + listener.Addr().String(), conns: make(map[net.Conn]bool)}
	reverse := httputil.NewSingleHostReverseProxy(target)
	transport := &http.Transport{}
	reverse.Transport = transport
	reverse.FlushInterval = -1
	srv := &http.Server{Handler: reverse, ReadHeaderTimeout: time.Minute, ConnState: func(conn net.Conn, state http.ConnState) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if state == http.StateActive {
			c.conns[conn] = true
		} else {
			delete(c.conns, conn)
		}
	}}
	srv.ErrorLog = nil
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(listener) }() // says that it was closed
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		<-done
		transport.CloseIdleConnections()
	})
	return c
}

// Cut closes every connection that is answering, which are the streams.
func (c *sseCutter) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close() // it is cut one way or the other
		c.cuts.Add(1)
	}
}

// Ten thousand clients, each of which gets every event, and what they cost.
func TestSSETenThousandClients(t *testing.T) {
	clients, events := sseManyClients, 5
	if limit := sseOpenFiles(t); clients > limit-300 {
		clients = limit - 300
		t.Logf("only %d files may be open: %d clients", limit, clients)
	}
	s := startProcess(t, map[string]string{"SSE_MAX_CLIENTS": strconv.Itoa(clients), "SSE_WRITE_TIMEOUT": "20s", "HTTP_CLOSE_TIMEOUT": "20s", "SSE_HEARTBEAT": "10m"})
	before := sseMetric(t, s.URL, "process_resident_memory_bytes")

	addr := strings.TrimPrefix(s.URL, "http://")
	conns := make([]net.Conn, clients)
	t.Cleanup(func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Close() // it was read as far as it was wanted
			}
		}
	})
	var opening sync.WaitGroup
	for part := range 16 { // at a time
		opening.Go(func() {
			for i := part; i < clients; i += 16 {
				conn, err := net.Dial("tcp", addr) //nolint:noctx // loopback
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = conn
				if _, err := io.WriteString(conn, "GET /orders/42/events HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	opening.Wait()
	waittest.Until(t, func() error {
		if open := sseMetric(t, s.URL, "sse_clients"); int(open) != clients {
			return fmt.Errorf("%v clients are in", open)
		}
		return nil
	})
	idle := sseMetric(t, s.URL, "process_resident_memory_bytes")

	status, _ := get(t, s.URL+"/orders/42/events")
	mustEqual(t, "one client more", status, http.StatusServiceUnavailable)

	begin := time.Now()
	for i := range events {
		sseSetStatus(t, s.URL, "42", fmt.Sprintf("step %d.", i))
	}
	published := time.Since(begin)
	var reading sync.WaitGroup
	for part := range 16 {
		reading.Go(func() {
			for i := part; i < clients; i += 16 {
				if err := sseReadSteps(conns[i], events); err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
			}
		})
	}
	reading.Wait()
	busy := sseMetric(t, s.URL, "process_resident_memory_bytes")
	t.Logf("%d clients: %.1f KB each when open, %.1f KB after %d events; published in %s, all read after %s",
		clients, (idle-before)/float64(clients)/1024, (busy-before)/float64(clients)/1024, events, published, time.Since(begin))
	if each := (busy - before) / float64(clients); each > sseMaxClientBytes {
		t.Errorf("a client costs %.0f bytes, want at most %d", each, sseMaxClientBytes)
	}
}

var sseStep = regexp.MustCompile(`step (\d+)\.`)

// sseReadSteps reads until all events are there, and reports one that is out of
// its order.
func sseReadSteps(conn net.Conn, events int) error {
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	var text []byte
	buffer := make([]byte, 4096)
	for {
		steps := sseStep.FindAllSubmatch(text, -1)
		for i, step := range steps {
			if string(step[1]) != strconv.Itoa(i) {
				return fmt.Errorf("event %d is %q", i, step[0])
			}
		}
		if len(steps) == events {
			return nil
		}
		n, err := conn.Read(buffer)
		text = append(text, buffer[:n]...)
		if err != nil {
			return fmt.Errorf("%w after %q", err, text)
		}
	}
}

// sseMetric returns the value of a metric that has no labels.
func sseMetric(t testing.TB, url, name string) float64 {
	t.Helper()
	_, body := get(t, url+"/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestSSEContradictions(t *testing.T) {
	refuseTogether(t, map[string]string{"SSE_WRITE_TIMEOUT": "13s"}, "SSE_WRITE_TIMEOUT=13s: must not be more than HTTP_CLOSE_TIMEOUT=12s")
	refuseTogether(t, map[string]string{"SSE_WRITE_TIMEOUT": "12s"}, "")
}

// BenchmarkSSEFanOut measures from the request that publishes an event until a
// client has it, over TCP, with both ends in this process.
func BenchmarkSSEFanOut(b *testing.B) {
	for _, clients := range []int{10, 1000} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s := startService(b, nil)
			received := make(chan time.Time, clients)
			var reading sync.WaitGroup
			b.Cleanup(reading.Wait) // when the streams are closed
			for range clients {
				stream := ssetest.Open(b, s.URL+"/orders/42/events", "")
				if err := stream.Position(); err != nil {
					b.Fatal(err)
				}
				reading.Go(func() {
					for {
						if _, err := stream.Next(); err != nil {
							return
						}
						received <- time.Now()
					}
				})
			}
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				sseSetStatus(b, s.URL, "42", "packed")
				for range clients {
					took = append(took, (<-received).Sub(start))
				}
			}
			b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "deliveries/s")
			reportTimes(b, took)
		})
	}
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/orders/internal/browsertest"
	"example.com/orders/internal/enginetest"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/websocket/websockettest"
)

func websocketSay(t testing.TB, url, room, text string) {
	t.Helper()
	code, body := send(t, http.MethodPost, url+"/rooms/"+room+"/messages", fmt.Sprintf(`{"from":"test","text":%q}`, text))
	mustEqual(t, body, code, http.StatusCreated)
}

// websocketNext returns the text of the next message.
func websocketNext(s *websockettest.Socket) (string, error) {
	for {
		f, err := s.Next()
		if err != nil {
			return "", err
		}
		switch f.Type {
		case "message":
			var message chatMessage
			err := json.Unmarshal(f.Data, &message)
			return message.Text, err
		case "position", "accepted":
		default:
			return "", fmt.Errorf("got %+v", f)
		}
	}
}

func websocketWant(t testing.TB, s *websockettest.Socket, texts ...string) {
	t.Helper()
	for _, text := range texts {
		got, err := websocketNext(s)
		if err != nil {
			t.Fatal(err)
		}
		mustEqual(t, "the message", got, text)
	}
}

func TestWebSocketRoutes(t *testing.T) {
	s := startService(t, map[string]string{"WEBSOCKET_MAX_MESSAGE_BYTES": "100"})
	for _, tt := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{http.MethodPost, "/rooms/42/messages", `{"from":"me","text":"hello"}`, http.StatusCreated, `"message":"`},
		{http.MethodPost, "/rooms/42/messages", `{"from":"me"}`, http.StatusBadRequest, "text:"},
		{http.MethodPost, "/rooms/42/messages", `{"text":"hello"}`, http.StatusBadRequest, "from:"},
		{http.MethodPost, "/rooms/42/messages", `[]`, http.StatusBadRequest, "from"},
		{http.MethodPost, "/rooms/a.b/messages", `{"from":"me","text":"x"}`, http.StatusBadRequest, "id"},
		{http.MethodPost, "/rooms/42/messages", `{"from":"me","text":"` + strings.Repeat("x", 100) + `"}`, http.StatusRequestEntityTooLarge, "too large"},
		{http.MethodGet, "/rooms/a*/socket", "", http.StatusBadRequest, "id"},
		{http.MethodGet, "/rooms/42/socket", "", http.StatusUpgradeRequired, "upgrade"},
		{http.MethodGet, "/demo/websocket", "", http.StatusOK, "<!doctype html>"},
		{http.MethodGet, "/demo/websocket.js", "", http.StatusOK, "WebSocket"},
	} {
		status, body := send(t, tt.method, s.URL+tt.path, tt.body)
		mustEqual(t, tt.path+" "+body, status, tt.status)
		if err := contains(body, tt.answer); err != nil {
			t.Error(err)
		}
	}
	_, resp, err := websockettest.Dial(s.URL+"/rooms/42/socket", "", http.Header{"Origin": {"https://evil.example"}})
	if resp == nil {
		t.Fatal(err)
	}
	mustEqual(t, "a page of another origin", resp.StatusCode, http.StatusForbidden)
}

// The whole service's timeouts, middleware and shutdown around a socket.
func TestWebSocket(t *testing.T) {
	s := startService(t, map[string]string{"HTTP_READ_TIMEOUT": "1s", "WEBSOCKET_PING_INTERVAL": "50ms"})
	socket := websockettest.Open(t, s.URL+"/rooms/42/socket", "")
	for begin := time.Now(); time.Since(begin) < 1500*time.Millisecond; {
		websocketSay(t, s.URL, "1", "moves the position")
		if f, err := socket.Next(); err != nil || f.Type != "position" {
			t.Fatalf("got %+v, %v", f, err)
		}
	}
	if err := socket.Send("r1", chatMessage{From: "me", Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	websocketWant(t, socket, "hello")
	if err := socket.Send("r2", chatMessage{From: "me"}); err != nil {
		t.Fatal(err)
	}
	for f, err := socket.Next(); f.Ref != "r2"; f, err = socket.Next() {
		if err != nil || f.Type == "error" {
			t.Fatalf("got %+v, %v", f, err)
		}
	}
	_, metrics := get(t, s.URL+"/metrics")
	for _, want := range []string{"http_requests_in_flight 2\n", "websocket_clients 1\n"} { // the other is this one
		if err := contains(metrics, want); err != nil {
			t.Error(err)
		}
	}
	if err := socket.Leave(); err != nil {
		t.Error(err)
	}
	waittest.Until(t, func() error {
		_, metrics := get(t, s.URL+"/metrics")
		return errors.Join(contains(metrics, "http_requests_in_flight 1\n"),
			contains(metrics, `http_request_duration_seconds_count{method="GET",route="GET /rooms/{id}/socket",status="101"} 1`))
	})

	again := websockettest.Open(t, s.URL+"/rooms/42/socket", socket.Token)
	begin := time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }()
	_, err := websocketNext(again)
	mustEqual(t, "the code", websockettest.Code(err), 1012)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the service took %s to stop with an open socket", took)
	}
}

// The server is killed: the socket breaks off, and what the client has is of no
// use to the next process, or is resumed where pub/sub keeps the messages.
func TestWebSocketSurvivesAKill(t *testing.T) {
	first := startProcess(t, nil)
	socket := websockettest.Open(t, first.URL+"/rooms/42/socket", "")
	websocketSay(t, first.URL, "42", "before")
	websocketWant(t, socket, "before")
	first.Kill()
	if _, err := socket.Next(); err == nil {
		t.Fatal("the socket goes on without its server")
	}
	second := startProcess(t, first.Env)
	again := websockettest.Open(t, second.URL+"/rooms/42/socket", socket.Token)
	websocketSay(t, second.URL, "42", "after")
	f, err := again.Next()
	if err == nil && f.Type == "reset" {
		f, err = again.Next()
	}
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "the next message", string(f.Data), `{"from":"test","text":"after"}`)
}

// nginx passes a socket on with the two lines of docs/patterns/websocket.md, in
// both directions, and closes one that is silent for too long: pings keep it.
func TestWebSocketThroughNginx(t *testing.T) {
	nginx := enginetest.Env(t, "TEST_NGINX", "the nginx binary")
	s := startService(t, map[string]string{"WEBSOCKET_PING_INTERVAL": "200ms"})
	proxy := websocketStartNginx(t, nginx, s.URL)

	// The origin is that of the proxy, as for a page that came through it.
	socket, _, err := websockettest.Dial(proxy+"/rooms/42/socket", "", http.Header{"Origin": {proxy}})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Cut()
	if err := socket.Send("r", chatMessage{From: "me", Text: "first"}); err != nil {
		t.Fatal(err)
	}
	websocketWant(t, socket, "first")
	for begin := time.Now(); time.Since(begin) < 2*time.Second; { // the proxy's timeout is 1 s
		websocketSay(t, s.URL, "1", "moves the position")
		if f, err := socket.Next(); err != nil || f.Type != "position" && f.Type != "accepted" {
			t.Fatalf("got %+v, %v", f, err)
		}
	}
	websocketSay(t, s.URL, "42", "second")
	websocketWant(t, socket, "second")

	// The control: the same proxy without those lines.
	_, resp, err := websockettest.Dial(proxy+"/plain/rooms/42/socket", "", nil)
	if resp == nil {
		t.Fatal(err)
	}
	mustEqual(t, "with no lines for it", resp.StatusCode, http.StatusUpgradeRequired)
}

// websocketStartNginx returns the URL of an nginx in front of upstream.
func websocketStartNginx(t testing.TB, binary, upstream string) string {
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
	proxy_http_version 1.1;
	server {
		listen %[2]s;
		location / {
			proxy_pass %[3]s;
			proxy_set_header Host $http_host;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection upgrade;
			proxy_read_timeout 1s;
		}
		location /plain/ { proxy_pass %[3]s/; }
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

// A real browser talks both ways. Its service is stopped and started anew: the
// page comes back by itself, and goes on.
func TestWebSocketInTheBrowser(t *testing.T) {
	env := map[string]string{"WEBSOCKET_RETRY": "20ms", "WEBSOCKET_RETRY_SPREAD": "0s"}
	s := startService(t, env)
	page := browsertest.Open(t, s.URL+"/demo/websocket?room=7")
	page.WaitFor(`document.getElementById("state").value === "open"`)
	typed := func(text string) {
		t.Helper()
		page.Eval(fmt.Sprintf(`document.getElementById("text").value = %q, document.querySelector("button").click()`, text), nil)
	}
	shown := func() (lines []string) {
		t.Helper()
		page.Eval(`[...document.querySelectorAll("#messages li")].reverse().map(li => li.textContent)`, &lines)
		return lines
	}
	other := websockettest.Open(t, s.URL+"/rooms/7/socket", "")
	typed("hello")
	websocketWant(t, other, "hello")
	websocketSay(t, s.URL, "7", "welcome")
	page.WaitFor(`document.querySelectorAll("#messages li").length === 2`)
	typed(" ") // a text for the page, and the service too
	websocketWant(t, other, "welcome", " ")
	page.WaitFor(`document.querySelectorAll("#messages li").length === 3`)
	mustEqual(t, "the page", strings.Join(shown(), "|"), "me: hello|test: welcome|me:  ")
	page.WaitFor(`waiting.size === 0`)

	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	page.WaitFor(`document.getElementById("state").value.startsWith("closed (")`)
	typed("while it is away")
	again := maps.Clone(s.Env)
	again["ADDR"] = strings.TrimPrefix(s.URL, "http://")
	second := startService(t, again)
	page.WaitFor(`document.getElementById("state").value === "open" && waiting.size === 0`)
	typed("back")
	page.WaitFor(`document.querySelector("#messages li").textContent === "me: back"`)
	if err := contains(strings.Join(shown(), "|"), "me: while it is away|me: back"); err != nil {
		t.Error(err)
	}
	page.Eval(`socket.close()`, nil) // the demo comes back from that too
	websocketSay(t, second.URL, "7", "the last")
	page.WaitFor(`document.querySelector("#messages li").textContent === "test: the last"`)
}

// A thousand clients in one room, each of which gets every message in its order,
// and what they cost.
func TestWebSocketThousandClients(t *testing.T) {
	const clients, messages = 1000, 5
	s := startProcess(t, map[string]string{"WEBSOCKET_MAX_CLIENTS": strconv.Itoa(clients), "WEBSOCKET_WRITE_TIMEOUT": "20s"})
	before := websocketMetric(t, s.URL, "process_resident_memory_bytes")
	sockets := make([]*websockettest.Socket, clients)
	var opening, reading sync.WaitGroup
	for part := range 16 { // at a time
		opening.Go(func() {
			for i := part; i < clients; i += 16 {
				socket, _, err := websockettest.Dial(s.URL+"/rooms/42/socket", "", nil)
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				t.Cleanup(socket.Cut)
				sockets[i] = socket
			}
		})
	}
	if opening.Wait(); t.Failed() {
		return
	}
	open := websocketMetric(t, s.URL, "process_resident_memory_bytes")
	_, resp, err := websockettest.Dial(s.URL+"/rooms/42/socket", "", nil)
	if resp == nil {
		t.Fatal(err)
	}
	mustEqual(t, "one client more", resp.StatusCode, http.StatusServiceUnavailable)

	begin := time.Now()
	for i := range messages {
		websocketSay(t, s.URL, "42", strconv.Itoa(i))
	}
	for i, socket := range sockets {
		reading.Go(func() {
			for want := range messages {
				if got, err := websocketNext(socket); err != nil || got != strconv.Itoa(want) {
					t.Errorf("client %d: got %q, %v, want %d", i, got, err, want)
					return
				}
			}
		})
	}
	reading.Wait()
	busy := websocketMetric(t, s.URL, "process_resident_memory_bytes")
	t.Logf("%d clients: %.1f KB each when open, %.1f KB after %d messages, which all had after %s",
		clients, (open-before)/clients/1024, (busy-before)/clients/1024, messages, time.Since(begin))
}

// websocketMetric returns the value of a metric that has no labels.
func websocketMetric(t testing.TB, url, name string) float64 {
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

func TestWebSocketContradictions(t *testing.T) {
	refuseTogether(t, map[string]string{"WEBSOCKET_CLOSE_TIMEOUT": "26s"}, "WEBSOCKET_CLOSE_TIMEOUT=26s: must not be more than SHUTDOWN_TIMEOUT=25s")
	refuseTogether(t, map[string]string{"WEBSOCKET_CLOSE_TIMEOUT": "20s"}, "")
}

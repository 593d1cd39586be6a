package websocket

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/websocket/websockettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig() Config {
	return Config{
		MaxClients:      100,
		QueueMessages:   64,
		WindowMessages:  100,
		WindowAge:       time.Hour,
		MaxMessageBytes: 64 << 10,
		Rate:            1000,
		Burst:           1000,
		PingInterval:    time.Hour,
		PongTimeout:     10 * time.Second,
		WriteTimeout:    10 * time.Second,
		CloseTimeout:    5 * time.Second,
		MaxReplays:      10,
		Retry:           time.Second,
	}
}

func newHub(t testing.TB, config Config) *Hub {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	h, err := New(config, slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry(), noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// newTestHub returns a hub and the URL below which each path is a room, where
// what a client sends is said to all.
func newTestHub(t testing.TB, config Config) (*Hub, string) {
	t.Helper()
	h := newHub(t, config)
	return h, serve(t, h, func(ctx context.Context, room string, data json.RawMessage) (string, error) {
		return h.Publish(ctx, Message{Room: room, Data: data})
	})
}

func serve(t testing.TB, h *Hub, receive func(ctx context.Context, room string, data json.RawMessage) (string, error)) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/{room}", httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
		room := r.PathValue("room")
		return h.Serve(w, r, room, func(ctx context.Context, data json.RawMessage) (string, error) {
			return receive(ctx, room, data)
		})
	}))
	srv := httptest.NewUnstartedServer(mux)
	// Timeouts as a service has them, far too short for a socket.
	srv.Config.ReadTimeout = time.Second
	srv.Config.WriteTimeout = time.Second
	srv.Start()
	t.Cleanup(func() {
		srv.Close()
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return srv.URL + "/"
}

func publish(t testing.TB, h *Hub, room string, data any) string {
	t.Helper()
	wire, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	id, err := h.Publish(t.Context(), Message{Room: room, Data: wire})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func next(t testing.TB, s *websockettest.Socket) websockettest.Frame {
	t.Helper()
	f, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func wantData(t testing.TB, s *websockettest.Socket, data ...string) {
	t.Helper()
	for _, want := range data {
		if got := next(t, s); string(got.Data) != want || got.Type != typeMessage {
			t.Fatalf("got %+v, want a message %s", got, want)
		}
	}
}

// wantCode reads up to the end of the socket.
func wantCode(t testing.TB, s *websockettest.Socket, want websocket.StatusCode) {
	t.Helper()
	for {
		if _, err := s.Next(); err != nil {
			if got := websockettest.Code(err); got != int(want) {
				t.Fatalf("closed with %d (%v), want %d", got, err, want)
			}
			return
		}
	}
}

// awaitClients waits until as many clients are in the room a.
func awaitClients(t testing.TB, h *Hub, want int) {
	t.Helper()
	waittest.Until(t, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if n := len(h.rooms["a"]); n != want {
			return fmt.Errorf("%d clients, want %d", n, want)
		}
		return nil
	})
}

// awaitClosed waits until as many sockets were closed for the reason.
func awaitClosed(t testing.TB, h *Hub, reason string, want float64) {
	t.Helper()
	waittest.Until(t, func() error {
		if got := testutil.ToFloat64(h.metrics.closed.WithLabelValues(reason)); got != want {
			return fmt.Errorf("%v sockets closed as %s, want %v", got, reason, want)
		}
		return nil
	})
}

// rawDial shakes hands and leaves the rest to the test.
func rawDial(url string) (net.Conn, *bufio.Reader, error) {
	addr, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	_, err = io.WriteString(conn, "GET /"+path+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		return conn, nil, err
	}
	lines := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		before := line
		if line, err = lines.ReadString('\n'); err != nil {
			return conn, nil, err
		}
		if before == "" && !strings.Contains(line, " 101 ") {
			return conn, nil, errors.New(line)
		}
	}
	return conn, lines, nil
}

// rawFrame is a frame of a client, with a mask of zeros.
func rawFrame(opcode byte, payload string) []byte {
	frame := []byte{0x80 | opcode, 0x80 | byte(len(payload)), 0, 0, 0, 0}
	if len(payload) > 125 {
		frame = []byte{0x80 | opcode, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 0, 0, 0, 0}
	}
	return append(frame, payload...)
}

// readRaw returns the next frame of the server.
func readRaw(r *bufio.Reader) (opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	length := int(head[1])
	if length == 126 {
		var more [2]byte
		if _, err := io.ReadFull(r, more[:]); err != nil {
			return 0, nil, err
		}
		length = int(more[0])<<8 | int(more[1])
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(r, payload)
	return head[0] & 0xf, payload, err
}

func TestMessagesGoByRoom(t *testing.T) {
	t.Parallel()
	h, url := newTestHub(t, testConfig())
	a, other, b := websockettest.Open(t, url+"a", ""), websockettest.Open(t, url+"a", ""), websockettest.Open(t, url+"b", "")
	awaitClients(t, h, 2)
	if err := a.Send("first", "hello <all> \u2028"); err != nil {
		t.Fatal(err)
	}
	wantData(t, other, `"hello \u003call\u003e \u2028"`)
	got := []websockettest.Frame{next(t, a), next(t, a)}
	if got[0].Type == typeAccepted { // may come before the message itself
		got[0], got[1] = got[1], got[0]
	}
	if got[1].Type != typeAccepted || got[1].Ref != "first" || got[1].Message != got[0].ID || got[1].ID != "" {
		t.Errorf("the sender got %+v", got)
	}
	publish(t, h, "b", 2)
	publish(t, h, "c", 3)
	publish(t, h, "a", 4)
	wantData(t, a, "4")
	wantData(t, other, "4")
	wantData(t, b, "2")
	if a.Welcome.RetryMS != 1000 {
		t.Errorf("welcome %+v", a.Welcome)
	}
}

// What can't be taken is told to who sent it, and the socket stays open.
func TestRefusedMessages(t *testing.T) {
	t.Parallel()
	h := newHub(t, testConfig())
	url := serve(t, h, func(_ context.Context, _ string, data json.RawMessage) (string, error) {
		switch string(data) {
		case "1":
			return "", fmt.Errorf("at home: %w", httpapi.NewProblem(http.StatusConflict, "Not now."))
		case "2":
			return "", errors.New("the disk is full")
		}
		return "", nil
	})
	s := websockettest.Open(t, url+"a", "")
	for _, tt := range []struct {
		send string
		want websockettest.Frame
	}{
		{`{"ref":"r","data":1}`, websockettest.Frame{Type: typeError, Ref: "r", Status: 409, Detail: "Not now."}},
		{`{"ref":"r","data":2}`, websockettest.Frame{Type: typeError, Ref: "r", Status: 503, Detail: "It is not known whether the message was taken."}},
		{`{"ref":"r","data":3}`, websockettest.Frame{Type: typeAccepted, Ref: "r"}},
		{`{"ref":"r"}`, websockettest.Frame{Type: typeError, Ref: "r", Status: 400}},
		{`[]`, websockettest.Frame{Type: typeError, Status: 400}},
		{`{"ref":"` + strings.Repeat("r", 65) + `","data":3}`, websockettest.Frame{Type: typeError, Status: 400}},
	} {
		if err := s.SendRaw(websocket.MessageText, []byte(tt.send)); err != nil {
			t.Fatal(err)
		}
		got := next(t, s)
		if tt.want.Status == http.StatusBadRequest {
			got.Detail, got.Ref = "", tt.want.Ref
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.send, diff)
		}
	}
	for result, want := range map[string]float64{receivedAccepted: 1, receivedRefused: 4, receivedFailed: 1} {
		if got := testutil.ToFloat64(h.metrics.received.WithLabelValues(result)); got != want {
			t.Errorf("%s: counted %v, want %v", result, got, want)
		}
	}
}

// Each message that a client sends is a trace of its own, which leads to the socket's.
func TestMessagesAreTraced(t *testing.T) {
	t.Parallel()
	h := newHub(t, testConfig())
	spans := tracetest.NewSpanRecorder()
	h.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("websocket")
	socket := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	var handed trace.SpanContext
	srv := httptest.NewServer(httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
		r = r.WithContext(trace.ContextWithSpanContext(r.Context(), socket))
		return h.Serve(w, r, "a", func(ctx context.Context, data json.RawMessage) (string, error) {
			handed = trace.SpanContextFromContext(ctx)
			switch string(data) {
			case "1":
				return "", httpapi.NewProblem(http.StatusConflict, "Not now.")
			case "2":
				return "", errors.New("the disk is full")
			}
			return "", nil
		})
	}))
	t.Cleanup(func() {
		srv.Close()
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := websockettest.Open(t, srv.URL, "")
	for i, failed := range []bool{false, false, true} {
		if err := s.Send("r", i); err != nil {
			t.Fatal(err)
		}
		next(t, s) // it was handed over
		waittest.Until(t, func() error {
			if got := len(spans.Ended()); got != i+1 {
				return fmt.Errorf("%d spans after %d messages", got, i+1)
			}
			return nil
		})
		span := spans.Ended()[i]
		if span.Name() != "websocket.receive" || span.Parent().IsValid() || !span.SpanContext().Equal(handed) || (span.Status().Code == codes.Error) != failed {
			t.Errorf("message %d: the span %s of %v, %v", i, span.Name(), span.Parent(), span.Status())
		}
		if links := span.Links(); len(links) != 1 || !links[0].SpanContext.Equal(socket) {
			t.Errorf("message %d: links %v", i, links)
		}
	}
}

// RFC 6455, section 10.2: a page of any site can have a browser open a socket
// here, with the user's cookies.
func TestOrigins(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.Origins = []string{"https://app.example.com"}
	h, url := newTestHub(t, config)
	host := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")
	refused := 0.0
	for _, tt := range []struct {
		origin, site string
		want         int
	}{
		{"", "", http.StatusSwitchingProtocols}, // no browser
		{"http://" + host, "", http.StatusSwitchingProtocols},
		{"https://elsewhere", "same-origin", http.StatusSwitchingProtocols}, // behind a proxy that changes the host
		{"https://app.example.com", "", http.StatusSwitchingProtocols},
		{"https://app.example.com", "same-site", http.StatusSwitchingProtocols},
		{"http://app.example.com", "", http.StatusForbidden},
		{"https://app.example.com.evil.example", "", http.StatusForbidden},
		{"https://app.example.com:8443", "", http.StatusForbidden},
		{"https://evil.example", "", http.StatusForbidden},
		{"https://evil.example", "cross-site", http.StatusForbidden},
		{"http://" + host, "cross-site", http.StatusForbidden},
		{"null", "", http.StatusForbidden}, // a page in a sandbox
	} {
		header := http.Header{}
		if tt.origin != "" {
			header.Set("Origin", tt.origin)
		}
		if tt.site != "" {
			header.Set("Sec-Fetch-Site", tt.site)
		}
		s, resp, err := websockettest.Dial(url+"a", "", header)
		if resp == nil {
			t.Fatal(err)
		}
		if resp.StatusCode != tt.want {
			t.Errorf("origin %q, site %q: %s, want %d", tt.origin, tt.site, resp.Status, tt.want)
		}
		if err == nil {
			s.Cut()
		} else {
			refused++
		}
	}
	if got := testutil.ToFloat64(h.metrics.refused.WithLabelValues(refuseOrigin)); got != refused || refused != 7 {
		t.Errorf("%v refused, %v counted", refused, got)
	}
}

func TestNoHandshake(t *testing.T) {
	t.Parallel()
	h, url := newTestHub(t, testConfig())
	complete := map[string]string{
		"Connection": "keep-alive, Upgrade", "Upgrade": "h2c, WebSocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	}
	bad := 0.0
	for _, tt := range []struct {
		header, value string
		want          int
	}{
		{"", "", http.StatusSwitchingProtocols},
		{"Upgrade", "", http.StatusUpgradeRequired},
		{"Upgrade", "websocket2", http.StatusUpgradeRequired},
		{"Connection", "", http.StatusUpgradeRequired},
		{"Connection", "keep-alive", http.StatusUpgradeRequired},
		{"Sec-WebSocket-Version", "", http.StatusBadRequest},
		{"Sec-WebSocket-Version", "12", http.StatusBadRequest},
		{"Sec-WebSocket-Key", "", http.StatusBadRequest},
		{"Sec-WebSocket-Key", "dGhl", http.StatusBadRequest},
		{"Sec-WebSocket-Key", "no key", http.StatusBadRequest},
	} {
		req, err := http.NewRequest(http.MethodGet, url+"a", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for header, value := range complete {
			if header == tt.header {
				value = tt.value
			}
			if value != "" {
				req.Header.Set(header, value)
			}
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		problem := resp.Header.Get("Content-Type") == "application/problem+json"
		if _ = resp.Body.Close(); resp.StatusCode != tt.want || problem != (tt.want != http.StatusSwitchingProtocols) {
			t.Errorf("%s %q: %s of %s, want %d", tt.header, tt.value, resp.Status, resp.Header.Get("Content-Type"), tt.want)
		}
		if tt.want == http.StatusBadRequest {
			bad++
		}
	}
	if got := testutil.ToFloat64(h.metrics.refused.WithLabelValues(refuseHandshake)); got != bad {
		t.Errorf("%v counted, want %v", got, bad)
	}
	awaitClients(t, h, 0)
}

// The server's timeouts for reading and writing end requests, not sockets.
func TestSocketOutlivesTheServersTimeouts(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.PingInterval = 20 * time.Millisecond
	h, url := newTestHub(t, config)
	s := websockettest.Open(t, url+"a", "")
	for begin := time.Now(); time.Since(begin) < 1500*time.Millisecond; { // the timeouts are 1 s
		publish(t, h, "other", "moves the position")
		if f := next(t, s); f.Type != typePosition {
			t.Fatalf("got %+v", f)
		}
	}
	if err := s.Send("", "still there"); err != nil {
		t.Fatal(err)
	}
	for f := next(t, s); string(f.Data) != `"still there"`; f = next(t, s) {
		if f.Type != typePosition {
			t.Fatalf("got %+v", f)
		}
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.WindowMessages = 5
	h, url := newTestHub(t, config)
	first := publish(t, h, "a", 1)
	second := publish(t, h, "a", 2)
	for i := 3; i <= 6; i++ {
		publish(t, h, "a", i)
	}
	epoch, _, _ := strings.Cut(first, "-")
	reset := func(reason string) []websockettest.Frame {
		return []websockettest.Frame{
			{Type: "reset", ID: epoch + "-6", Reason: reason},
			{Type: "message", ID: epoch + "-7", Data: json.RawMessage("7")},
		}
	}
	var replay []websockettest.Frame
	for i := 2; i <= 7; i++ {
		replay = append(replay, websockettest.Frame{Type: "message", ID: epoch + "-" + strconv.Itoa(i), Data: json.RawMessage(strconv.Itoa(i))})
	}
	var sockets []*websockettest.Socket
	cases := []struct {
		name, token string
		want        []websockettest.Frame
	}{
		{"the oldest that can be had", first, replay},
		{"the second", second, replay[1:]},
		{"the last", epoch + "-6", replay[5:]},
		{"before the window", epoch + "-0", reset("expired")},
		{"ahead of the hub", epoch + "-7", reset("unknown")},
		{"another epoch", "0123456789-3", reset("unknown")},
		{"no number", epoch + "-x", reset("unknown")},
		{"no token of ours", "17", reset("unknown")},
		{"none", "", replay[5:]},
	}
	for _, tt := range cases {
		sockets = append(sockets, websockettest.Open(t, url+"a", tt.token))
	}
	awaitClients(t, h, len(cases))
	publish(t, h, "a", 7)
	for i, tt := range cases {
		var got []websockettest.Frame
		for range tt.want {
			got = append(got, next(t, sockets[i]))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	for result, want := range map[string]float64{resumeReplayed: 3, resumeExpired: 1, resumeUnknown: 4} {
		if got := testutil.ToFloat64(h.metrics.resumed.WithLabelValues(result)); got != want {
			t.Errorf("%s: counted %v, want %v", result, got, want)
		}
	}
}

// A client in a quiet room is kept inside the window, although other rooms fill
// it.
func TestPingMovesThePosition(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.PingInterval = 5 * time.Millisecond
	h, url := newTestHub(t, config)
	s := websockettest.Open(t, url+"quiet", "")
	var last string
	for i := range 3 * config.WindowMessages {
		last = publish(t, h, "busy", i)
	}
	for s.Token != last {
		if f := next(t, s); f.Type != typePosition {
			t.Fatalf("got %+v", f)
		}
	}
	s.Cut()
	publish(t, h, "quiet", "missed")
	wantData(t, websockettest.Open(t, url+"quiet", s.Token), `"missed"`)
}

// Clients lose their connection at any time while messages come from several
// sides, and see each once, in order.
func TestNoMessageIsLostOrRepeated(t *testing.T) {
	t.Parallel()
	const clients, publishers, messages = 8, 4, 500
	config := testConfig()
	config.QueueMessages = 16 // so that some are closed for being slow, too
	config.WindowMessages = publishers * messages
	h, url := newTestHub(t, config)

	start := h.position().String()
	var publishing, reading sync.WaitGroup
	cuts := make([]int, clients)
	for c := range clients {
		random := rand.New(rand.NewPCG(1, uint64(c)))
		reading.Go(func() {
			token := start
			for got := 0; got < publishers*messages; cuts[c]++ {
				s, _, err := websockettest.Dial(url+"a", token, nil)
				if err != nil {
					t.Errorf("client %d: %v", c, err)
					return
				}
				for cut := random.IntN(200); cut > 0 && got < publishers*messages; cut-- {
					f, err := s.Next()
					if err != nil {
						break
					}
					got++
					if _, seq, _ := strings.Cut(f.ID, "-"); seq != strconv.Itoa(got) {
						t.Errorf("client %d: got %+v as the message %d", c, f, got)
						s.Cut()
						return
					}
				}
				token = s.Token
				s.Cut()
			}
		})
	}
	for range publishers {
		publishing.Go(func() {
			for range messages {
				if _, err := h.Publish(t.Context(), Message{Room: "a", Data: json.RawMessage("0")}); err != nil {
					t.Error(err)
				}
				time.Sleep(20 * time.Microsecond) // a rate, not a condition
			}
		})
	}
	publishing.Wait()
	reading.Wait()
	t.Logf("connections of each client: %v", cuts)
}

// A client that does not read is taken out of the room, and costs the others
// nothing. When it reads again it is told why, and comes back for the rest.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.WindowMessages = 4096
	config.WriteTimeout, config.CloseTimeout = time.Minute, time.Minute // it reads in time
	h, url := newTestHub(t, config)
	slow, s := websockettest.Open(t, url+"a", ""), websockettest.Open(t, url+"a", "")
	awaitClients(t, h, 2)
	big := strings.Repeat("x", config.MaxMessageBytes-2)
	published, worst := 0, time.Duration(0)
	for inside := 2; inside == 2; published++ {
		start := time.Now()
		publish(t, h, "a", big)
		if got := next(t, s); len(got.Data) != len(big)+2 {
			t.Fatalf("a message has %d bytes", len(got.Data))
		}
		worst = max(worst, time.Since(start))
		h.mu.Lock()
		inside = len(h.rooms["a"])
		h.mu.Unlock()
	}
	seen := 0
	for {
		f, err := slow.Next()
		if err != nil {
			if code := websockettest.Code(err); code != int(websocket.StatusPolicyViolation) {
				t.Fatalf("closed with %d: %v", code, err)
			}
			break
		}
		seen++
		mustBe(t, f, seen)
	}
	t.Logf("%d of %d messages of %d bytes went to the slow client; the slowest took %s to the other", seen, published, len(big), worst)
	again := websockettest.Open(t, url+"a", slow.Token)
	for seen < published {
		seen++
		mustBe(t, next(t, again), seen)
	}
	publish(t, h, "a", "after")
	wantData(t, again, `"after"`)
	wantData(t, s, `"after"`)
	awaitClosed(t, h, endSlow, 1)
	if worst > 5*time.Second {
		t.Errorf("a message took %s to the client that reads", worst)
	}
}

// mustBe fails the test where f is not the message with that sequence.
func mustBe(t testing.TB, f websockettest.Frame, seq int) {
	t.Helper()
	if _, got, _ := strings.Cut(f.ID, "-"); got != strconv.Itoa(seq) || f.Type != typeMessage {
		t.Fatalf("got the %s %s, want the message %d", f.Type, f.ID, seq)
	}
}

// One that never reads again is cut off, after the time for one write.
func TestStalledReaderIsCut(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.WriteTimeout, config.CloseTimeout = 200*time.Millisecond, 200*time.Millisecond
	h, url := newTestHub(t, config)
	conn, _, err := rawDial(url + "a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // nothing is expected of it
	awaitClients(t, h, 1)
	big := strings.Repeat("x", config.MaxMessageBytes-2)
	waittest.Until(t, func() error {
		publish(t, h, "a", big)
		if n := testutil.ToFloat64(h.metrics.clients); n != 0 {
			return fmt.Errorf("%v clients", n)
		}
		return nil
	})
	slow, stalled := testutil.ToFloat64(h.metrics.closed.WithLabelValues(endSlow)), testutil.ToFloat64(h.metrics.closed.WithLabelValues(endStalled))
	if slow+stalled != 1 {
		t.Errorf("%v closed as slow, %v as stalled", slow, stalled)
	}
}

// What a client may not send closes its socket, with the code for it.
func TestWhatClosesTheSocket(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.MaxMessageBytes, config.Rate, config.Burst = 1000, 0.001, 20
	for name, tt := range map[string]struct {
		wire   string
		code   websocket.StatusCode
		reason string
	}{
		"binary":         {frameOf(2, `{"data":1}`), websocket.StatusUnsupportedData, endBinary},
		"no JSON":        {frameOf(1, "hello"), websocket.StatusInvalidFramePayloadData, endInvalid},
		"two values":     {frameOf(1, "{}{}"), websocket.StatusInvalidFramePayloadData, endInvalid},
		"no UTF-8":       {frameOf(1, "{\"data\":\"\xff\"}"), websocket.StatusInvalidFramePayloadData, endInvalid},
		"too large":      {frameOf(1, `"`+strings.Repeat("x", 999)+`"`), websocket.StatusMessageTooBig, endTooLarge},
		"announced huge": {"\x81\xff\x00\x00\x01\x00\x00\x00\x00\x00" + strings.Repeat("\x00", 4+1001), websocket.StatusMessageTooBig, endTooLarge},
		"in parts":       {"\x01\xe4\x00\x00\x00\x00" + strings.Repeat("x", 100) + strings.Repeat("\x00\xe4\x00\x00\x00\x00"+strings.Repeat("x", 100), 10), websocket.StatusMessageTooBig, endTooLarge},
		"too many":       {strings.Repeat(frameOf(1, `{"data":1}`), 21), websocket.StatusPolicyViolation, endRate},
		"too many pings": {strings.Repeat(frameOf(9, "x"), 21), websocket.StatusPolicyViolation, endRate},
		"not masked":     {"\x81\x011", websocket.StatusProtocolError, endProtocol},
		"reserved bits":  {"\xf1\x81\x00\x00\x00\x001", websocket.StatusProtocolError, endProtocol},
		"unknown opcode": {frameOf(3, "1"), websocket.StatusProtocolError, endProtocol},
		"long ping":      {frameOf(9, strings.Repeat("x", 126)), websocket.StatusProtocolError, endProtocol},
		"a bad close":    {frameOf(8, "\x00\x01"), websocket.StatusProtocolError, endProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, url := newTestHub(t, config)
			conn, frames, err := rawDial(url + "a")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }() // was read to its end
			if _, err := io.WriteString(conn, tt.wire); err != nil {
				t.Fatal(err)
			}
			for {
				opcode, payload, err := readRaw(frames)
				if err != nil {
					t.Fatalf("no close frame: %v", err)
				}
				if opcode == 8 {
					if code := int(payload[0])<<8 | int(payload[1]); code != int(tt.code) {
						t.Errorf("closed with %d %q, want %d", code, payload[2:], tt.code)
					}
					break
				}
			}
			_ = conn.Close() // no answer to the close frame
			awaitClosed(t, h, tt.reason, 1)
		})
	}
}

// While others talk, what closes a socket is still what its client is told.
func TestTheReasonIsToldInABusyRoom(t *testing.T) {
	t.Parallel()
	const clients = 50
	config := testConfig()
	config.MaxMessageBytes, config.QueueMessages = 1000, 1<<20
	h, url := newTestHub(t, config)
	done := make(chan struct{})
	var talking sync.WaitGroup
	talking.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if _, err := h.Publish(context.Background(), Message{Room: "a", Data: json.RawMessage("0")}); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for range clients {
		s := websockettest.Open(t, url+"a", "")
		if err := s.SendRaw(websocket.MessageText, make([]byte, 1001)); err != nil {
			t.Error(err)
		}
		wantCode(t, s, websocket.StatusMessageTooBig)
	}
	close(done)
	talking.Wait()
	awaitClosed(t, h, endTooLarge, clients)
}

// A client that does not answer the close frame is not waited for.
func TestCloseHandshakeIsBounded(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.CloseTimeout = 50 * time.Millisecond
	h, url := newTestHub(t, config)
	conn, _, err := rawDial(url + "a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // is closed by the server
	begin := time.Now()
	if _, err := conn.Write(rawFrame(2, "1")); err != nil {
		t.Fatal(err)
	}
	awaitClosed(t, h, endBinary, 1)
	if took := time.Since(begin); took > 3*time.Second { // the library's own time is 5 s
		t.Errorf("the socket was closed after %s", took)
	}
}

func frameOf(opcode byte, payload string) string { return string(rawFrame(opcode, payload)) }

// Where the client is gone without a word, it is missed at the next ping; in the
// middle of a message, too.
func TestSilentClientIsCut(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.PingInterval, config.PongTimeout = 20*time.Millisecond, 100*time.Millisecond
	for name, last := range map[string][]byte{"idle": nil, "in a message": rawFrame(1, `{"data":1}`)[:12]} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, url := newTestHub(t, config)
			conn, frames, err := rawDial(url + "a")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }() // is closed by the server
			pings := 0
			for {
				opcode, payload, err := readRaw(frames)
				if err != nil {
					break
				}
				if opcode != 9 {
					continue
				}
				reply := rawFrame(10, string(payload))
				if pings++; pings > 10 {
					reply = last
				}
				if _, err := conn.Write(reply); err != nil {
					t.Fatal(err)
				}
			}
			awaitClosed(t, h, endSilent, 1)
			if pings <= 10 {
				t.Errorf("cut after %d pings, of which 10 were answered", pings)
			}
		})
	}
}

func TestTooManyClients(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.MaxClients = 2
	config.RetrySpread = 3 * time.Second
	h, url := newTestHub(t, config)
	a := websockettest.Open(t, url+"a", "")
	websockettest.Open(t, url+"a", "")
	_, resp, err := websockettest.Dial(url+"a", "", nil)
	if resp == nil {
		t.Fatalf("the third client: %v", err)
	}
	retry, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if resp.StatusCode != http.StatusServiceUnavailable || err != nil || retry < 1 || retry > 4 {
		t.Errorf("the third client got %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
	if err := a.Leave(); err != nil {
		t.Error(err)
	}
	awaitClosed(t, h, endGone, 1)
	awaitClients(t, h, 1)
	s := websockettest.Open(t, url+"a", "")
	awaitClients(t, h, 2)
	publish(t, h, "a", 1)
	wantData(t, s, "1")
}

// Each client gets what waits for it and the code 1012; one that does not answer
// is cut off when the time is up.
func TestDrain(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.CloseTimeout = 500 * time.Millisecond
	h, url := newTestHub(t, config)
	a, b := websockettest.Open(t, url+"a", ""), websockettest.Open(t, url+"a", "")
	deaf, _, err := rawDial(url + "a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deaf.Close() }() // nothing is expected of it
	awaitClients(t, h, 3)
	publish(t, h, "a", "the last")
	h.Drain()
	h.Drain()
	for _, s := range []*websockettest.Socket{a, b} {
		wantData(t, s, `"the last"`)
		wantCode(t, s, websocket.StatusServiceRestart)
	}
	if _, resp, err := websockettest.Dial(url+"a", "", nil); resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a client while draining: %v", err)
	}
	begin := time.Now()
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("closing took %s", took)
	}
	if got := testutil.ToFloat64(h.metrics.closed.WithLabelValues(endDrained)); got != 3 {
		t.Errorf("%v sockets counted as drained, want 3", got)
	}
	if got := testutil.ToFloat64(h.metrics.clients); got != 0 {
		t.Errorf("%v clients are left", got)
	}
}

// A receiver that hangs holds up the shutdown no longer than it may take.
func TestCloseGivesUp(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.CloseTimeout = 50 * time.Millisecond
	h := newHub(t, config)
	entered, release := make(chan struct{}), make(chan struct{})
	url := serve(t, h, func(context.Context, string, json.RawMessage) (string, error) {
		close(entered)
		<-release
		return "", nil
	})
	s := websockettest.Open(t, url+"a", "")
	if err := s.Send("", 1); err != nil {
		t.Fatal(err)
	}
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := h.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 sockets still open") {
		t.Errorf("close: %v", err)
	}
	close(release)
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	h := newHub(t, testConfig())
	for _, tt := range []struct {
		message Message
		want    error
	}{
		{Message{Room: "a", Data: make([]byte, 64<<10+1)}, ErrTooLarge},
		{Message{Room: "a", Type: "reset", Data: json.RawMessage("1")}, ErrInvalid},
		{Message{Room: "a", Type: `a"b`, Data: json.RawMessage("1")}, ErrInvalid},
		{Message{Room: "a", Data: json.RawMessage("1 2")}, ErrInvalid},
		{Message{Room: "a"}, ErrInvalid},
		{Message{Room: "a", Type: "status", Data: json.RawMessage("1")}, nil},
	} {
		if _, err := h.Publish(t.Context(), tt.message); !errors.Is(err, tt.want) {
			t.Errorf("%.40q: got %v, want %v", fmt.Sprint(tt.message), err, tt.want)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for variable, change := range map[string]func(*Config){
		"WEBSOCKET_RETRY_SPREAD=":                          func(c *Config) { c.RetrySpread = math.MaxInt64 },
		"WEBSOCKET_RATE=NaN":                               func(c *Config) { c.Rate = math.NaN() },
		"WEBSOCKET_BURST=0":                                func(c *Config) { c.Burst = 0 },
		"WEBSOCKET_ORIGINS=app.example.com: must":          func(c *Config) { c.Origins = []string{"app.example.com"} },
		"WEBSOCKET_ORIGINS=https://app.example.com/: must": func(c *Config) { c.Origins = []string{"https://app.example.com/"} },
	} {
		config := testConfig()
		change(&config)
		if err := config.Validate(); err == nil || !strings.HasPrefix(err.Error(), variable) {
			t.Errorf("got %v, want %s", err, variable)
		}
	}
}

// Whatever a room's message is, clients get JSON with that in it, or it is
// refused.
func FuzzEncode(f *testing.F) {
	f.Add("status", `{"a":1}`)
	f.Add("", ` [ "\ud800", "é" ] `)
	f.Add("x", "\"\xff\"")
	f.Add(`"`, "1")
	f.Fuzz(func(t *testing.T, kind, data string) {
		m := Message{Room: "a", Type: kind, Data: json.RawMessage(data)}
		encoded, err := m.encode(1 << 20)
		if err != nil {
			return
		}
		var got websockettest.Frame
		wire := newFrame(position{"e", 7}, time.Time{}, m, encoded).wire
		if err := json.Unmarshal(wire, &got); err != nil {
			t.Fatalf("%q: %v", wire, err)
		}
		if got.ID != "e-7" || kind != "" && got.Type != kind || got.Reason+got.Ref+got.Detail != "" {
			t.Errorf("%q is %+v", wire, got)
		}
	})
}

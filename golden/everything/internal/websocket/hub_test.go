package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
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

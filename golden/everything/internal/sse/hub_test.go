package sse

import (
	"bufio"
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
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/sse/ssetest"
	"example.com/orders/internal/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig() Config {
	return Config{
		MaxClients:    100,
		QueueEvents:   64,
		WindowEvents:  100,
		WindowAge:     time.Hour,
		MaxEventBytes: 64 << 10,
		Heartbeat:     time.Hour,
		WriteTimeout:  10 * time.Second,
		MaxReplays:    10,
		Retry:         time.Second,
	}
}

// newTestHub returns a hub and the URL below which each path is a topic.
func newTestHub(t testing.TB, config Config) (*Hub, string) {
	t.Helper()
	h := New(config, slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry(), noop.NewTracerProvider())
	return h, serve(t, h)
}

func serve(t testing.TB, h *Hub) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/{topics}", httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
		return h.Stream(w, r, strings.Split(r.PathValue("topics"), "+")...)
	}))
	srv := httptest.NewUnstartedServer(mux)
	// Timeouts as a service has them, far too short for a stream.
	srv.Config.ReadTimeout = time.Second
	srv.Config.WriteTimeout = time.Second
	srv.Start()
	t.Cleanup(func() {
		h.Drain()
		srv.Close()
	})
	return srv.URL + "/"
}

func publish(t testing.TB, h *Hub, topic, data string) string {
	t.Helper()
	id, err := h.Publish(t.Context(), Event{Topic: topic, Data: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func next(t testing.TB, s *ssetest.Stream) ssetest.Event {
	t.Helper()
	e, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func wantData(t testing.TB, s *ssetest.Stream, data ...string) {
	t.Helper()
	for _, want := range data {
		if got := next(t, s); got.Data != want || got.Type == typeReset {
			t.Fatalf("got the event %+v, want %q", got, want)
		}
	}
}

// awaitSubscribers waits until the topic a has as many.
func awaitSubscribers(t testing.TB, h *Hub, want int) {
	t.Helper()
	waittest.Until(t, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if n := len(h.topics["a"]); n != want {
			return fmt.Errorf("%d subscribers, want %d", n, want)
		}
		return nil
	})
}

func TestStreamsGoByTopic(t *testing.T) {
	t.Parallel()
	h, url := newTestHub(t, testConfig())
	a, b, both := ssetest.Open(t, url+"a", ""), ssetest.Open(t, url+"b", ""), ssetest.Open(t, url+"a+b", "")
	for _, s := range []*ssetest.Stream{a, b, both} {
		if err := s.Position(); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, h, "a", "1")
	publish(t, h, "b", "2")
	publish(t, h, "c", "3")
	publish(t, h, "a", "4")
	wantData(t, a, "1", "4")
	wantData(t, b, "2")
	wantData(t, both, "1", "2", "4")
}

// The server's timeouts for reading and writing end other answers, not streams.
func TestStreamOutlivesTheServersTimeouts(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.Heartbeat = 20 * time.Millisecond
	h, url := newTestHub(t, config)
	s := ssetest.Open(t, url+"a", "")
	for begin := time.Now(); time.Since(begin) < 1500*time.Millisecond; { // the timeouts are 1 s
		if err := s.Position(); err != nil {
			t.Fatal(err)
		}
		publish(t, h, "other", "moves the position")
	}
	publish(t, h, "a", "still there")
	wantData(t, s, "still there")
}

func TestResume(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.WindowEvents = 5
	h, url := newTestHub(t, config)
	first := publish(t, h, "a", "1")
	second := publish(t, h, "a", "2")
	for i := 3; i <= 6; i++ {
		publish(t, h, "a", strconv.Itoa(i))
	}
	epoch, _, _ := strings.Cut(first, "-")
	reset := func(reason string) []ssetest.Event {
		return []ssetest.Event{
			{ID: epoch + "-6", Type: "reset", Data: `{"reason":"` + reason + `"}`},
			{ID: epoch + "-7", Data: "7"},
		}
	}
	var replay []ssetest.Event
	for i := 2; i <= 7; i++ {
		replay = append(replay, ssetest.Event{ID: epoch + "-" + strconv.Itoa(i), Data: strconv.Itoa(i)})
	}
	var streams []*ssetest.Stream
	cases := []struct {
		name, lastID string
		want         []ssetest.Event
	}{
		{"the oldest that can be had", first, replay},
		{"the second", second, replay[1:]},
		{"the last", epoch + "-6", replay[5:]},
		{"before the window", epoch + "-0", reset("expired")},
		{"ahead of the hub", epoch + "-7", reset("unknown")},
		{"another epoch", "0123456789-3", reset("unknown")},
		{"no number", epoch + "-x", reset("unknown")},
		{"no id of ours", "17", reset("unknown")},
		{"none", "", replay[5:]},
	}
	for _, tt := range cases {
		streams = append(streams, ssetest.Open(t, url+"a", tt.lastID))
	}
	awaitSubscribers(t, h, len(cases))
	publish(t, h, "a", "7")
	for i, tt := range cases {
		var got []ssetest.Event
		for range tt.want {
			got = append(got, next(t, streams[i]))
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
	// A page that opens a new EventSource can't send the header.
	s := ssetest.Open(t, url+"a?last_event_id="+epoch+"-6", "")
	wantData(t, s, "7")
}

func TestWindowForgetsByAge(t *testing.T) {
	t.Parallel()
	start := time.Now()
	w := newWindow(10, time.Minute)
	for i := range 5 {
		w.add(&frame{seq: uint64(i + 1), topic: "a", at: start.Add(time.Duration(i) * 20 * time.Second)}) //nolint:gosec // small
	}
	w.expire(start.Add(time.Minute))
	if w.floor != 0 || w.count != 5 {
		t.Errorf("after a minute: floor %d, %d events, want 0 and 5", w.floor, w.count)
	}
	w.expire(start.Add(101 * time.Second))
	if w.floor != 3 || w.count != 2 {
		t.Errorf("after 101 s: floor %d, %d events, want 3 and 2", w.floor, w.count)
	}
}

// A client of a quiet topic is kept inside the window by heartbeats, although
// other topics fill it.
func TestHeartbeatMovesThePosition(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.Heartbeat = 5 * time.Millisecond
	h, url := newTestHub(t, config)
	s := ssetest.Open(t, url+"quiet", "")
	var last string
	for i := range 3 * config.WindowEvents {
		last = publish(t, h, "busy", strconv.Itoa(i))
	}
	for s.LastID != last {
		if err := s.Position(); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	publish(t, h, "quiet", "missed")
	wantData(t, ssetest.Open(t, url+"quiet", s.LastID), "missed")
}

// Clients lose their connection at any time while events are published from
// several goroutines, and see each event once, in order.
func TestNoEventIsLostOrRepeated(t *testing.T) {
	t.Parallel()
	const clients, publishers, events = 8, 4, 500
	config := testConfig()
	config.QueueEvents = 16 // so that some are closed for being slow, too
	config.WindowEvents = publishers * events
	h, url := newTestHub(t, config)

	start := h.position().String()
	var publishing, reading sync.WaitGroup
	cuts := make([]int, clients)
	begin := time.Now()
	for c := range clients {
		random := rand.New(rand.NewPCG(1, uint64(c))) //nolint:gosec // a test's
		reading.Go(func() {
			got, lastID := 0, start
			for got < publishers*events {
				resp, err := openRaw(url+"a", lastID)
				if time.Since(begin) > time.Minute {
					t.Errorf("client %d: has %d events after a minute: %v", c, got, err)
					return
				}
				if err != nil {
					continue // that connection is cut, too
				}
				lines := bufio.NewReader(resp.Body)
				for cut := random.IntN(200); cut > 0 && got < publishers*events; cut-- {
					id, err := readID(lines)
					if err != nil {
						break
					}
					_, seq, _ := strings.Cut(id, "-")
					if seq != strconv.Itoa(got+1) {
						t.Errorf("client %d: got the event %s after %d", c, id, got)
						_ = resp.Body.Close() // the test has failed
						return
					}
					got, lastID = got+1, id
				}
				_ = resp.Body.Close() // the cut
				cuts[c]++
			}
		})
	}
	for range publishers {
		publishing.Go(func() {
			for range events {
				if _, err := h.Publish(t.Context(), Event{Topic: "a", Data: []byte("x")}); err != nil {
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

func openRaw(url, lastID string) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, url, http.NoBody) //nolint:noctx // it ends when its body is closed
	if err != nil {
		return nil, err
	}
	req.Header.Set("Last-Event-ID", lastID)
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
}

// readID returns the id of the next event that has data.
func readID(r *bufio.Reader) (id string, err error) {
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return "", err
		case strings.HasPrefix(line, "id: "):
			id = strings.TrimSpace(line[4:])
		case strings.HasPrefix(line, "data: "):
			return id, nil
		}
	}
}

// A client that reads nothing is closed, and costs the others nothing.
func TestStalledClientSlowsNoOther(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.WriteTimeout = 2 * time.Second
	h, url := newTestHub(t, config)
	const stalled = 5
	for range stalled {
		conn, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(url, "/"), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }() // nothing is expected of it
		if _, err := io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	s := ssetest.Open(t, url+"a", "")
	awaitSubscribers(t, h, stalled+1)
	big := strings.Repeat("x", config.MaxEventBytes)
	var worst time.Duration
	begin := time.Now()
	ended := func() float64 {
		return testutil.ToFloat64(h.metrics.ended.WithLabelValues(endSlow)) + testutil.ToFloat64(h.metrics.ended.WithLabelValues(endStalled))
	}
	for ended() < stalled {
		start := time.Now()
		publish(t, h, "a", big)
		if got := next(t, s); len(got.Data) != len(big) {
			t.Fatalf("an event has %d bytes", len(got.Data))
		}
		worst = max(worst, time.Since(start))
		if time.Since(begin) > 30*time.Second {
			t.Fatal("the stalled clients are never closed")
		}
	}
	if worst > config.WriteTimeout/2 {
		t.Errorf("an event took %s to the client that reads", worst)
	}
	t.Logf("the slowest event took %s", worst)
	publish(t, h, "a", "after")
	wantData(t, s, "after")
	if got := testutil.ToFloat64(h.metrics.clients); got != 1 {
		t.Errorf("%v clients are open, want 1", got)
	}
}

// A client that announces a body and sends none keeps its place no longer than a
// request may take.
func TestABodyThatNeverComes(t *testing.T) {
	t.Parallel()
	h, url := newTestHub(t, testConfig())
	conn, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(url, "/"), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // nothing is expected of it
	if _, err := io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, func() error {
		if n := testutil.ToFloat64(h.metrics.clients); n != 1 {
			return fmt.Errorf("%v clients, want 1", n)
		}
		return nil
	})
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open")
	}
	if n := testutil.ToFloat64(h.metrics.clients); n != 0 {
		t.Errorf("%v clients, want none", n)
	}
}

func TestTooManyClients(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.MaxClients = 2
	config.RetrySpread = 3 * time.Second
	h, url := newTestHub(t, config)
	a := ssetest.Open(t, url+"a", "")
	ssetest.Open(t, url+"a", "")
	resp, err := openRaw(url+"a", "")
	if err != nil {
		t.Fatal(err)
	}
	var problem httpapi.Problem
	if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil {
		t.Error(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	retry, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if resp.StatusCode != http.StatusServiceUnavailable || problem.Status != resp.StatusCode || err != nil || retry < 1 || retry > 4 {
		t.Errorf("the third client got %s, %+v, Retry-After %q", resp.Status, problem, resp.Header.Get("Retry-After"))
	}
	a.Close()
	waittest.Until(t, func() error { // a place is free
		if n := testutil.ToFloat64(h.metrics.clients); n != 1 {
			return fmt.Errorf("%g clients, want 1", n)
		}
		return nil
	})
	s := ssetest.Open(t, url+"a", "")
	if err := s.Position(); err != nil {
		t.Fatal(err)
	}
	publish(t, h, "a", "1")
	wantData(t, s, "1")
}

func TestDrain(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.RetrySpread = time.Hour
	h, url := newTestHub(t, config)
	a, b := ssetest.Open(t, url+"a", ""), ssetest.Open(t, url+"a", "")
	for _, s := range []*ssetest.Stream{a, b} {
		if err := s.Position(); err != nil {
			t.Fatal(err)
		}
	}
	// One that still catches up when the hub drains goes on where it comes back.
	awaitSubscribers(t, h, 2)
	publish(t, h, "a", "the last")
	h.Drain()
	h.Drain()
	for _, s := range []*ssetest.Stream{a, b} {
		wantData(t, s, "the last")
		if e, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("got %+v, %v, want the end", e, err)
		}
	}
	if a.Retry <= time.Second || b.Retry <= time.Second || a.Retry == b.Retry {
		t.Errorf("told to retry after %s and %s, want them spread", a.Retry, b.Retry)
	}
	resp, err := openRaw(url+"a", "")
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a client while draining got %s", resp.Status)
	}
	if got := testutil.ToFloat64(h.metrics.ended.WithLabelValues(endDrained)); got != 2 {
		t.Errorf("%v streams counted as drained, want 2", got)
	}
}

// Clients of an instance that is killed have only the time that they were told at
// first: it is each one's own.
func TestEachClientHasItsOwnTimeToComeBack(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.RetrySpread = time.Hour
	_, url := newTestHub(t, config)
	a, b := ssetest.Open(t, url+"a", ""), ssetest.Open(t, url+"a", "")
	for _, s := range []*ssetest.Stream{a, b} {
		if err := s.Position(); err != nil {
			t.Fatal(err)
		}
	}
	if a.Retry <= time.Second || b.Retry <= time.Second || a.Retry == b.Retry {
		t.Errorf("told to retry after %s and %s, want them spread", a.Retry, b.Retry)
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	_, url := newTestHub(t, testConfig())
	resp, err := http.Head(url + "a") //nolint:noctx // a test's
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	h, _ := newTestHub(t, testConfig())
	for _, tt := range []struct {
		event Event
		want  error
	}{
		{Event{Topic: "a", Data: make([]byte, 64<<10+1)}, ErrTooLarge},
		{Event{Topic: "a", Type: "reset"}, ErrType},
		{Event{Topic: "a", Type: "a\ndata: b"}, ErrType},
		{Event{Topic: "a", Type: "a\rb"}, ErrType},
		{Event{Topic: "a"}, nil},
	} {
		if _, err := h.Publish(t.Context(), tt.event); !errors.Is(err, tt.want) {
			t.Errorf("%.40q: got %v, want %v", fmt.Sprint(tt.event), err, tt.want)
		}
	}
}

// Whatever the data is, it arrives as one event, with its line ends as \n.
func FuzzEncode(f *testing.F) {
	f.Add("status", `{"a":1}`)
	f.Add("", "one\ntwo\r\nthree\rfour\n\n")
	f.Add("x", ": no comment\nid: no id\nevent: none\n")
	f.Add("x", " \n\r")
	f.Fuzz(func(t *testing.T, eventType, data string) {
		if (Event{Type: eventType}).validate(1<<20) != nil {
			t.Skip()
		}
		h, url := newTestHub(t, testConfig())
		s := ssetest.Open(t, url+"a", h.position().String())
		id, err := h.Publish(t.Context(), Event{Topic: "a", Type: eventType, Data: []byte(data)})
		if err != nil {
			t.Skip()
		}
		publish(t, h, "a", "end")
		data = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data)
		want := []ssetest.Event{
			{ID: id, Type: eventType, Data: data},
			{ID: h.position().String(), Data: "end"},
		}
		if diff := cmp.Diff(want, []ssetest.Event{next(t, s), next(t, s)}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func BenchmarkPublish(b *testing.B) {
	for _, clients := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			config := testConfig()
			h := New(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), noop.NewTracerProvider())
			h.topics["a"] = make(map[*client]struct{})
			all := make([]*client, clients)
			for i := range all {
				all[i] = &client{topics: map[string]bool{"a": true}, wake: make(chan struct{}, 1)}
				h.topics["a"][all[i]] = struct{}{}
			}
			var spare []*frame
			e := Event{Topic: "a", Type: "status", Data: []byte(`{"status":"packed"}`)}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := h.Publish(b.Context(), e); err != nil {
					b.Fatal(err)
				}
				if i%config.QueueEvents == config.QueueEvents-1 {
					b.StopTimer()
					for _, c := range all {
						spare, _ = c.take(spare)
					}
					b.StartTimer()
				}
			}
		})
	}
}

func TestValidateRetry(t *testing.T) {
	t.Parallel()
	config := testConfig()
	if err := config.Validate(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.RetrySpread = math.MaxInt64 },
		func(c *Config) { c.RetrySpread = -1 },
		func(c *Config) { c.Retry = math.MaxInt64 },
	} {
		config := testConfig()
		change(&config)
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), "SSE_RETRY") {
			t.Errorf("%s and %s: got %v", config.Retry, config.RetrySpread, err)
		}
	}
}

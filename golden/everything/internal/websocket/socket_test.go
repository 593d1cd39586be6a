package websocket

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"example.com/orders/internal/waittest"
	"example.com/orders/internal/websocket/websockettest"
)

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
		"too many pongs": {strings.Repeat(frameOf(10, "x"), 21), websocket.StatusPolicyViolation, endRate},
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

package websocket

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"example.com/orders/internal/waittest"
)

// A thousand clients come and break off in every way there is, while the room
// is busy. Nothing of them is left. It does not run in parallel, because it
// counts the goroutines.
func TestNoGoroutineIsLeftOfAborts(t *testing.T) {
	config := testConfig()
	config.MaxClients, config.QueueMessages = 1000, 8
	config.PingInterval, config.PongTimeout = 50*time.Millisecond, time.Second
	config.WriteTimeout, config.CloseTimeout = time.Second, time.Second
	h, url := newTestHub(t, config)
	before := runtime.NumGoroutine()

	done := make(chan struct{})
	var talking sync.WaitGroup
	talking.Go(func() {
		text := `"` + strings.Repeat("x", 4096) + `"`
		for {
			select {
			case <-done:
				return
			default:
				if _, err := h.Publish(t.Context(), Message{Room: "a", Data: []byte(text)}); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Millisecond) // a rate, not a condition
			}
		}
	})
	var clients sync.WaitGroup
	for c := range 20 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(c)))
			for i := range 50 {
				if err := abort(url, i%10, random); err != nil {
					t.Errorf("client %d.%d: %v", c, i, err)
					return
				}
			}
		})
	}
	clients.Wait()
	close(done)
	talking.Wait()
	waittest.Until(t, func() error {
		if n := testutil.ToFloat64(h.metrics.clients); n != 0 {
			return fmt.Errorf("%v clients are left", n)
		}
		if n := runtime.NumGoroutine(); n > before {
			return fmt.Errorf("%d goroutines, %d before", n, before)
		}
		return nil
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.rooms) != 0 || len(h.sockets) != 0 {
		t.Errorf("%d rooms and %d sockets are left", len(h.rooms), len(h.sockets))
	}
	count := map[string]float64{}
	for _, reason := range []string{endGone, endSlow, endStalled, endSilent, endBinary, endInvalid, endProtocol} {
		count[reason] = testutil.ToFloat64(h.metrics.closed.WithLabelValues(reason))
	}
	t.Logf("closed: %v", count)
}

// abort connects and breaks off, in one of ten ways.
func abort(url string, way int, random *rand.Rand) error {
	if way < 3 {
		return abortHandshake(url, way)
	}
	conn, frames, err := rawDial(url + "a")
	if conn != nil {
		defer func() { _ = conn.Close() }() // may be closed already
	}
	if err != nil {
		return err
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // fails where it is closed, which the next step shows
	for range random.IntN(5) {
		if _, _, err := readRaw(frames); errors.Is(err, io.EOF) {
			return nil // the service broke off first: this client was too slow
		} else if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	message := rawFrame(1, `{"ref":"r","data":1}`)
	switch way {
	case 3: // in the middle of a frame's head
		_, err = conn.Write(message[:3])
	case 4: // in the middle of a message
		_, err = conn.Write(message[:12])
	case 5: // in the middle of a message, by RST
		if _, err = conn.Write(message[:12]); err == nil {
			err = conn.(*net.TCPConn).SetLinger(0)
		}
	case 6: // by RST
		err = conn.(*net.TCPConn).SetLinger(0)
	case 7: // after a message, with no look at the answer
		_, err = conn.Write(message)
	case 8: // by a close handshake, halfway
		_, err = conn.Write(rawFrame(8, "\x03\xe9"))
	case 9: // half closed, until the server lets go
		if err = conn.(*net.TCPConn).CloseWrite(); err == nil {
			_, _ = io.Copy(io.Discard, conn) // however it ends
		}
	}
	return err
}

func abortHandshake(url string, way int) error {
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/"))
	if err != nil {
		return err
	}
	handshake := "GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if way < 2 { // in the middle of it, by RST too
		handshake = handshake[:60]
	}
	if _, err = io.WriteString(conn, handshake); err == nil && way > 0 {
		err = conn.(*net.TCPConn).SetLinger(0) // before the answer is read
	}
	if closeErr := conn.Close(); err == nil {
		err = closeErr
	}
	return err
}

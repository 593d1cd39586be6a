package hashring

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/orders/internal/waittest"
)

// echo answers with the key's owner, and then with each line that it gets, until
// that is "end".
func echo(n *testNode) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := n.Do(r.PathValue("key"), func() error { return nil }); err != nil {
			return err
		}
		conn, buffers, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }() // the test closes it too
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n%s\n", n.Name())
		for {
			line, err := buffers.ReadString('\n')
			if err != nil || line == "end\n" {
				return nil
			}
			_, _ = io.WriteString(conn, line) // it is read, or is over
		}
	}
}

// upgrade asks a member for a connection, and returns it once there is one.
func upgrade(t *testing.T, n *testNode, key string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, lines, resp := askUpgrade(t, n, key)
	if resp.StatusCode != http.StatusSwitchingProtocols { // its body is the connection
		t.Fatal(resp.Status)
	}
	return conn, lines
}

// askUpgrade asks a member for a connection, and returns its answer.
func askUpgrade(t *testing.T, n *testNode, key string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.url, "http://")) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET /echo/%s HTTP/1.1\r\nHost: ring\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", key); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(conn)
	resp, err := http.ReadResponse(lines, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, lines, resp
}

func wantLine(t *testing.T, lines *bufio.Reader, want string) {
	t.Helper()
	if line, err := lines.ReadString('\n'); err != nil || line != want+"\n" {
		t.Fatalf("got %q, %v, want %q", line, err, want)
	}
}

// startTwo runs two members, and returns a key of the second.
func startTwo(t *testing.T, change func(*Config)) (asked, owner *testNode, key string) {
	t.Helper()
	nodes := startRing(t, 2, change)
	asked, owner, key = nodes[0], nodes[1], "key"
	for i := 0; asked.view.Load().ring.Owner(PartitionOf(key)) != owner.Name(); i++ {
		key = fmt.Sprintf("key%d", i)
	}
	return asked, owner, key
}

// No more connections are passed on than may be; those that end make room.
func TestUpgradesAreCounted(t *testing.T) {
	asked, owner, key := startTwo(t, func(c *Config) { c.MaxPassed = 1 })
	passed := func(want int) {
		t.Helper()
		waittest.Until(t, func() error {
			if got := asked.passed.count(); got != want {
				return fmt.Errorf("%d are passed on, want %d", got, want)
			}
			return nil
		})
	}
	conn, lines := upgrade(t, asked, key)
	wantLine(t, lines, owner.Name())
	passed(1)
	if _, _, resp := askUpgrade(t, asked, key); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
	upgrade(t, owner, key) // is not passed on
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	passed(0)
	_, lines = upgrade(t, asked, key)
	wantLine(t, lines, owner.Name())
}

// A connection that the owner upgrades is passed on, and ends with either side,
// and with the member that it goes through.
func TestUpgradesArePassedOn(t *testing.T) {
	asked, owner, key := startTwo(t, func(*Config) {})
	talk := func() (net.Conn, *bufio.Reader) {
		conn, lines := upgrade(t, asked, key)
		wantLine(t, lines, owner.Name())
		for i := range 3 {
			_, _ = fmt.Fprintf(conn, "%d\n", i)
			wantLine(t, lines, fmt.Sprint(i))
		}
		return conn, lines
	}
	conn, lines := talk()
	_, _ = io.WriteString(conn, "end\n")
	if line, err := lines.ReadString('\n'); err == nil {
		t.Errorf("got %q after the owner's end", line)
	}
	if conn, _ = talk(); conn.Close() != nil {
		t.Error("close")
	}
	_, lines = talk()
	if err := asked.stop(); err != nil {
		t.Error(err)
	}
	if line, err := lines.ReadString('\n'); err == nil {
		t.Errorf("got %q from a member that has left", line)
	}
}

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"example.com/jobs/internal/waittest"
)

// A workersProxy stands between the service and its database, to cut them off
// from each other.
type workersProxy struct {
	addr   string // its own
	target string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
	all   sync.WaitGroup
}

func newWorkersProxy(t *testing.T, target string) *workersProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &workersProxy{addr: listener.Addr().String(), target: target, conns: make(map[net.Conn]struct{})}
	p.all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			p.all.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // ends the accepting
		p.setCut(true)
		p.all.Wait()
	})
	return p
}

func (p *workersProxy) serve(conn net.Conn) {
	upstream, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = conn.Close() // nothing was sent
		return
	}
	if !p.add(conn, upstream) {
		return
	}
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{
		{conn, upstream},
		{upstream, conn},
	} {
		both.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])        // ends when either is cut
			_, _ = pair[0].Close(), pair[1].Close() // may be closed already
		})
	}
	both.Wait()
}

func (p *workersProxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.cut {
			_ = c.Close() // refused
			continue
		}
		p.conns[c] = struct{}{}
	}
	return !p.cut
}

func (p *workersProxy) setCut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		for c := range p.conns {
			_ = c.Close() // may be closed already
		}
		clear(p.conns)
	}
}

// Without its database the service says that it is not ready and tells callers
// to come again; when the database is back all goes on, without a restart.
func TestWorkersLoseTheDatabase(t *testing.T) {
	env := databaseTestEnv(t)
	u, err := url.Parse(env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	proxy := newWorkersProxy(t, u.Host)
	u.Host = proxy.addr
	s := startService(t, map[string]string{"DATABASE_URL": u.String(), "DATABASE_CONNECT_TIMEOUT": "1s"})
	workersMustAccept(t, s.URL, workersOrder("A-1"))
	workersWaitForInvoice(t, s.URL, "A-1")

	proxy.setCut(true)
	resp, body := workersSubmit(t, s.URL, "key", workersOrder("A-2"))
	mustEqual(t, body, resp.StatusCode, http.StatusServiceUnavailable)
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	status, body := get(t, s.URL+"/readyz")
	mustEqual(t, body, status, http.StatusServiceUnavailable)

	proxy.setCut(false)
	waittest.Until(t, func() error {
		if status, body := get(t, s.URL+"/readyz"); status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	waittest.Until(t, func() error {
		if resp, body := workersSubmit(t, s.URL, "key", workersOrder("A-2")); resp.StatusCode != http.StatusAccepted {
			return fmt.Errorf("%s %s", resp.Status, body)
		}
		return nil
	})
	workersWaitForInvoice(t, s.URL, "A-2")
}

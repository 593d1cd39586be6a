package hashring

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/httpapi"
)

const (
	tokenHeader = "Hashring-Token" //nolint:gosec // the header's name
	// maxTaking is how many bytes of state one message holds, and one partition
	// more.
	maxTaking = 4 << 20
	// maxMessage bounds what is read of a member's answer.
	maxMessage = 1 << 30
	// idleTimeout is how long a member keeps a connection to another for the next
	// request; the other keeps it for longer, so that it never ends under one.
	idleTimeout = time.Minute
)

// peers is how members talk to each other: a server of its own that outside
// callers have no business with, and the client for those of the others.
type peers struct {
	node      *Node
	token     string
	listener  net.Listener
	server    *http.Server
	transport *http.Transport
}

func openPeers(ctx context.Context, config Config, n *Node, handler http.Handler) (*peers, error) {
	key, err := config.key()
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte("hashring peer")) // never fails
	p := &peers{node: n, token: hex.EncodeToString(mac.Sum(nil))}
	var listen net.ListenConfig
	if p.listener, err = listen.Listen(ctx, "tcp", config.PeerAddr); err != nil {
		return nil, fmt.Errorf("HASHRING_PEER_ADDR=%s: %w", config.PeerAddr, err)
	}
	peers := http.NewServeMux()
	peers.Handle("POST /.hashring/confirm", httpapi.Handler(p.confirmed))
	peers.Handle("POST /.hashring/take", httpapi.Handler(p.taken))
	peers.Handle("POST /.hashring/drop", httpapi.Handler(p.dropped))
	peers.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), forwardedKey{}, true)))
	})
	p.server = &http.Server{
		Handler:           p.authenticated(peers),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       config.ForwardTimeout,
		IdleTimeout:       2 * idleTimeout,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelWarn),
	}
	p.transport = &http.Transport{
		DialContext:           (&net.Dialer{Timeout: config.dialTimeout()}).DialContext,
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       idleTimeout,
		ResponseHeaderTimeout: config.ForwardTimeout,
	}
	return p, nil
}

func (p *peers) addr(ip string) string { return advertised(p.listener, ip) }

func (p *peers) serve() error {
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// close ends the server. Who forwards to it has been told that it leaves, and
// asks elsewhere.
func (p *peers) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := p.server.Shutdown(ctx)
	if err != nil {
		err = p.server.Close()
	}
	p.transport.CloseIdleConnections()
	if lerr := p.listener.Close(); err == nil && !errors.Is(lerr, net.ErrClosed) { // where it never served
		err = lerr
	}
	return err
}

// authenticated lets only members in, and keeps what proves it from the routes.
func (p *peers) authenticated(next http.Handler) http.Handler {
	return httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get(tokenHeader)), []byte(p.token)) != 1 {
			return httpapi.NewProblem(http.StatusForbidden, "This is for members of the ring.")
		}
		r.Header.Del(tokenHeader)
		next.ServeHTTP(w, r)
		return nil
	})
}

// An asking is what one member asks of another.
type asking struct {
	From       string `json:"from"`
	ID         string `json:"id"`
	View       uint64 `json:"view,omitempty"`
	Partitions []int  `json:"partitions,omitempty"`
	Epoch      uint64 `json:"epoch,omitempty"`
}

// A taking is what a member has let go of.
type taking struct {
	Epoch uint64 `json:"epoch"`
	// Lease is the longest that a member has had which this one has seen.
	Lease time.Duration `json:"lease"`
	// Released is what the member held.
	Released []int          `json:"released"`
	State    map[int][]byte `json:"state"`
	// More is set when there is more, once this much is dropped.
	More bool `json:"more"`
}

// read returns what a member asks.
func read(r *http.Request) (asking, error) {
	return httpapi.DecodeJSON[asking](r)
}

var errStranger = httpapi.NewProblem(http.StatusConflict, "The views of the ring differ.")

// confirmed says that the caller is in this member's view.
func (p *peers) confirmed(w http.ResponseWriter, r *http.Request) error {
	ask, err := read(r)
	if err != nil {
		return err
	}
	if m, ok := p.node.view.Load().members[ask.From]; !ok || m.ID != ask.ID {
		return errStranger
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// taken lets go of what is the caller's.
func (p *peers) taken(w http.ResponseWriter, r *http.Request) error {
	ask, err := read(r)
	if err != nil {
		return err
	}
	v := p.node.view.Load()
	if m, ok := v.members[ask.From]; !ok || m.ID != ask.ID || v.hash != ask.View || ask.From == p.node.name {
		return errStranger
	}
	httpapi.WriteJSON(w, r, http.StatusOK, p.node.release(v, ask.From))
	return nil
}

// dropped forgets what the caller has.
func (p *peers) dropped(w http.ResponseWriter, r *http.Request) error {
	ask, err := read(r)
	if err != nil {
		return err
	}
	for _, partition := range ask.Partitions {
		if partition < 0 || partition >= Partitions {
			return httpapi.NewProblem(http.StatusBadRequest, "partitions: there is no such one.")
		}
	}
	p.node.forget(ask.Partitions, ask.Epoch)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ask sends to a member, in this one's name, and reads its answer into v unless that
// is nil.
func (p *peers) ask(ctx context.Context, m member, what string, body asking, v any) error {
	ctx, cancel := context.WithTimeout(ctx, p.node.config.Lease)
	defer cancel()
	body.From, body.ID = p.node.name, p.node.id
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+m.Peer+"/.hashring/"+what, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(tokenHeader, p.token)
	resp, err := p.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // was read
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusConflict {
		return errStranger
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s: %s", what, resp.Status)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(answer, v)
}

// others calls do for each other member of the view, side by side, and returns
// their results by name.
func others[T any](n *Node, v *view, do func(member) T) map[string]T {
	results := make(map[string]T)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, m := range v.members {
		if name == n.name {
			continue
		}
		wg.Go(func() {
			result := do(m)
			mu.Lock()
			defer mu.Unlock()
			results[name] = result
		})
	}
	wg.Wait()
	return results
}

// confirm asks every other member whether it sees this one, and returns how many
// do; it doesn't wait for the rest once there are enough.
func (p *peers) confirm(ctx context.Context, v *view, enough int) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	count := 0
	var mu sync.Mutex
	others(p.node, v, func(m member) bool {
		if p.ask(ctx, m, "confirm", asking{}, nil) != nil {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		if count++; count >= enough {
			cancel()
		}
		return true
	})
	return count
}

// take has every other member let go of what is this one's in the view, and takes
// it. It returns the epochs of the others, the longest lease that any of them has seen,
// and whether all did.
func (p *peers) take(ctx context.Context, v *view, term uint64) (epochs map[string]uint64, longest time.Duration, ok bool) {
	ctx = context.WithoutCancel(ctx) // a half of it helps nobody
	results := others(p.node, v, func(m member) *taking {
		for {
			var answer taking
			asked := time.Now()
			if p.node.view.Load() != v {
				return nil
			}
			err := p.ask(ctx, m, "take", asking{View: v.hash}, &answer)
			if errors.Is(err, errStranger) && p.node.stays(v) {
				err = errors.Join(err, p.node.members.compare(m.gossip))
			}
			if err != nil {
				p.node.log.DebugContext(ctx, "a member hands nothing over yet", "peer", m.Peer, "error", err)
				return nil
			}
			here, ok := p.node.accept(asked, term, answer)
			if len(here) > 0 && p.ask(ctx, m, "drop", asking{Partitions: here, Epoch: answer.Epoch}, nil) != nil {
				return nil
			}
			if !ok {
				return nil
			}
			if !answer.More {
				return &answer
			}
		}
	})
	epochs, longest = make(map[string]uint64, len(results)), p.node.longest()
	for name, answer := range results {
		if answer == nil {
			return nil, longest, false
		}
		epochs[name], longest = answer.Epoch, max(longest, answer.Lease)
	}
	return epochs, longest, p.node.view.Load() == v
}

package hashring

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"example.com/orders/internal/httpapi"
)

// notOwnerHeader is in the answer of a member that was sent a request for a key
// it does not answer for.
const notOwnerHeader = "Hashring-Not-Owner"

// forwardedKey marks the context of requests that another member forwarded. No
// header does: what a caller sends means nothing.
type forwardedKey struct{}

var errNotSent = errors.New("the member was not reached")

// Handler has a request for a key answered by the key's owner: here by next,
// which calls [Node.Do], or by the member that owns it. A request that was
// forwarded is never forwarded again: who gets it answers it, or says that the
// key is not its own.
//
// A key that changes hands is waited for; next is called again for the same
// request, unless it has answered or returned another error than [ErrNotOwner].
func (n *Node) Handler(key func(*http.Request) (string, error), next httpapi.Handler) http.Handler {
	return httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
		k, err := key(r)
		if err != nil {
			return err
		}
		if r.Context().Value(forwardedKey{}) != nil {
			n.awaitHeld(r.Context(), PartitionOf(k))
			err := next(w, r)
			if errors.Is(err, ErrNotOwner) {
				w.Header().Set(notOwnerHeader, "1")
				return httpapi.NewProblem(http.StatusMisdirectedRequest, "Another member owns this key.")
			}
			return lost(err)
		}
		body, err := io.ReadAll(r.Body) // is bounded by the server
		if err != nil {
			return bodyProblem(err)
		}
		return n.route(w, r, PartitionOf(k), body, next)
	})
}

// route tries until the owner has answered, or the time to wait is over.
func (n *Node) route(w http.ResponseWriter, r *http.Request, partition int, body []byte, next httpapi.Handler) error {
	timeout := time.NewTimer(n.config.Wait)
	defer timeout.Stop()
	for pause := firstPause; ; pause = longer(pause) {
		changed := n.watch()
		v := n.view.Load()
		owner := v.ring.Owner(partition)
		r.Body = io.NopCloser(bytes.NewReader(body))
		err := ErrNotOwner
		switch m, ok := v.members[owner]; {
		case owner == n.name:
			err = next(w, r)
		case ok:
			err = n.forward(w, r, m)
		}
		if !errors.Is(err, ErrNotOwner) && !errors.Is(err, errNotSent) {
			return lost(err)
		}
		select {
		case <-changed:
		case <-time.After(pause): // it changes elsewhere
		case <-r.Context().Done():
			return r.Context().Err()
		case <-timeout.C:
			n.metrics.refused.Inc()
			return errors.Join(unavailable("The server that has this is being replaced; try again later."), err)
		}
	}
}

// awaitHeld waits a while for a partition that is this member's by its view, and is
// still on its way: else all who wait for it would ask again and again.
func (n *Node) awaitHeld(ctx context.Context, partition int) {
	enough := time.NewTimer(min(longestPause, n.config.ForwardTimeout/2))
	defer enough.Stop()
	for {
		changed := n.watch()
		if _, err := n.check(partition); err == nil || n.view.Load().ring.Owner(partition) != n.name {
			return
		}
		select {
		case <-changed:
		case <-enough.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Between two tries there are from firstPause to longestPause, each time twice as long:
// who can't answer yet has other things to do.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = 500 * time.Millisecond
)

func longer(pause time.Duration) time.Duration { return min(2*pause, longestPause) }

// lost says in the API's words that it is not known what was done.
func lost(err error) error {
	if errors.Is(err, ErrLost) {
		return errors.Join(unavailable("The server lost its place while it worked on this: it may be done or not."), err)
	}
	return err
}

func unavailable(detail string) *httpapi.Problem {
	problem := httpapi.NewProblem(http.StatusServiceUnavailable, detail)
	problem.RetryAfter = time.Second
	return problem
}

func bodyProblem(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return httpapi.NewProblem(http.StatusRequestEntityTooLarge, "The body is too large.")
	}
	return errors.Join(httpapi.NewProblem(http.StatusBadRequest, "The body could not be read."), err)
}

// forward has a member answer, whatever it says. The error is [ErrNotOwner] or
// errNotSent where another try does no harm. A connection that the owner upgrades
// is passed on until either side ends it, or this member leaves the ring.
func (n *Node) forward(w http.ResponseWriter, r *http.Request, to member) error {
	ctx := r.Context()
	if r.Header.Get("Upgrade") != "" {
		passed, done, err := n.passed.begin(ctx, n.config.MaxPassed)
		if err != nil {
			return err
		}
		defer done()
		ctx = passed
	}
	ctx, span := n.tracer.Start(ctx, "hashring.forward", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("hashring.peer", to.Peer)))
	defer span.End()
	f := &forwarding{node: n, to: to, span: span}
	r = r.WithContext(ctx)
	(&httputil.ReverseProxy{
		Transport:      n.peers.transport,
		Rewrite:        f.rewrite,
		ModifyResponse: f.modify,
		ErrorHandler:   func(_ http.ResponseWriter, _ *http.Request, err error) { f.failure = err },
	}).ServeHTTP(w, r)
	result, err := forwardResult(f.failure)
	n.metrics.forwarded.WithLabelValues(result).Inc()
	if f.upgraded {
		return nil // there is nobody left to tell
	}
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, result)
		if ctx.Err() != nil {
			return context.Cause(ctx) // the caller has gone away
		}
	}
	return err
}

// A forwarding is one request on its way to a member.
type forwarding struct {
	node     *Node
	to       member
	span     trace.Span
	upgraded bool
	failure  error
}

// rewrite makes the request that the member gets of the one that came.
func (f *forwarding) rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme, p.Out.URL.Host = "http", f.to.Peer
	p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
	p.SetXForwarded()
	for _, said := range []string{"Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto"} { // before this member
		if values, ok := p.In.Header[said]; ok {
			p.Out.Header[said] = values
		}
	}
	p.Out.Host = p.In.Host
	propagation.TraceContext{}.Inject(p.In.Context(), propagation.HeaderCarrier(p.Out.Header))
	p.Out.Header.Set("X-Request-Id", httpapi.RequestID(p.In.Context()))
	p.Out.Header.Set(tokenHeader, f.node.peers.token)
}

// modify looks at the member's answer before it is passed on.
func (f *forwarding) modify(resp *http.Response) error {
	if resp.Header.Get(notOwnerHeader) != "" {
		return ErrNotOwner
	}
	resp.Header.Del("X-Request-Id") // this member says it already
	if conn, ok := resp.Body.(io.ReadWriteCloser); ok && resp.StatusCode == http.StatusSwitchingProtocols {
		f.upgraded = true
		resp.Body = whole{conn}
		f.span.End() // what follows may take hours
	}
	return nil
}

func forwardResult(err error) (result string, _ error) {
	var op *net.OpError
	switch {
	case err == nil:
		return resultOK, nil
	case errors.Is(err, ErrNotOwner):
		return resultNotOwner, ErrNotOwner
	case errors.As(err, &op) && op.Op == "dial":
		return resultUnreachable, errors.Join(errNotSent, err)
	}
	return resultError, errors.Join(unavailable("The server that has this did not answer: it may be done or not."), err)
}

// A whole is the owner's end of an upgraded connection. Its end is that of the
// connection: the proxy would let the caller's half stay open for as long as the
// caller likes.
type whole struct{ io.ReadWriteCloser }

func (w whole) Read(p []byte) (int, error) {
	n, err := w.ReadWriteCloser.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// passed are the upgraded connections that this member passes on.
type passed struct {
	mu    sync.Mutex
	open  map[*context.CancelFunc]struct{}
	wait  sync.WaitGroup
	ended bool
}

// begin returns the context of one more, unless there are as many as there may be, or
// all have been ended.
func (p *passed) begin(ctx context.Context, most int) (_ context.Context, done func(), _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil, nil, unavailable("This server is being replaced; try again.")
	}
	if len(p.open) >= most {
		return nil, nil, unavailable("This server passes on as many connections as it may; try again later.")
	}
	ctx, cancel := context.WithCancel(ctx)
	if p.open == nil {
		p.open = make(map[*context.CancelFunc]struct{})
	}
	p.open[&cancel] = struct{}{}
	p.wait.Add(1)
	return ctx, func() {
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, &cancel)
		p.wait.Done()
	}, nil
}

// count returns how many there are.
func (p *passed) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

// end closes all, and lets none begin.
func (p *passed) end() {
	p.mu.Lock()
	p.ended = true
	for cancel := range p.open {
		(*cancel)()
	}
	p.mu.Unlock()
	p.wait.Wait()
}

package hashring

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"example.com/everything/internal/httpapi"
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
	for {
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
		case <-time.After(20 * time.Millisecond): // it changes elsewhere
		case <-r.Context().Done():
			return r.Context().Err()
		case <-timeout.C:
			n.metrics.refused.Inc()
			return errors.Join(unavailable("The server that has this is being replaced; try again later."), err)
		}
	}
}

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
// errNotSent where another try does no harm.
func (n *Node) forward(w http.ResponseWriter, r *http.Request, to member) error {
	var failure error
	proxy := &httputil.ReverseProxy{
		Transport: n.peers.transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", to.Peer
			p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
			p.SetXForwarded()
			p.Out.Host = p.In.Host
			p.Out.Header.Set("X-Request-Id", httpapi.RequestID(p.In.Context()))
			p.Out.Header.Set(tokenHeader, n.peers.token)
		},
		ModifyResponse: func(resp *http.Response) error {
			if resp.Header.Get(notOwnerHeader) != "" {
				return ErrNotOwner
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failure = err },
	}
	proxy.ServeHTTP(w, r)
	result, err := forwardResult(failure)
	n.metrics.forwarded.WithLabelValues(result).Inc()
	if err != nil && r.Context().Err() != nil {
		return context.Cause(r.Context()) // the caller has gone away
	}
	return err
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

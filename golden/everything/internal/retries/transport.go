package retries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// A Transport is an [http.RoundTripper] that tries a failed call again: a
// transport error, or an answer of 408, 429, 500, 502, 503 or 504. It does so
//
//   - only where a second call does no harm: an idempotent method (RFC 9110,
//     section 9.2.2), or a request with an Idempotency-Key;
//   - only where the body can be sent again, because it has none or GetBody is
//     set, as [http.NewRequest] does for bodies in memory;
//   - as often as RETRIES_HTTP_ATTEMPTS, the host's budget, and the request's
//     context allow;
//   - after a wait with full jitter, and not before Retry-After has passed. Where
//     that is longer than RETRIES_HTTP_MAX_DELAY, or than the context lasts, the
//     answer is returned at once.
//
// What it returns is the last answer or error. It is safe for concurrent use.
type Transport struct {
	retries *Retries
	next    http.RoundTripper
	policy  Policy
}

// Which of its calls one is, and why a failed one is not made again.
const (
	attemptFirst = "first"
	attemptRetry = "retry"

	stopAttempts = "attempts"
	stopBudget   = "budget"
	stopWait     = "wait"
	stopUnsafe   = "unsafe"
)

// Transport returns a transport that makes its calls through next. All
// transports of one Retries share the budgets of the hosts.
func (r *Retries) Transport(next http.RoundTripper) *Transport {
	return &Transport{retries: r, next: next, policy: Policy{
		MaxAttempts: r.config.HTTPAttempts,
		BaseDelay:   r.config.HTTPBaseDelay,
		MaxDelay:    r.config.HTTPMaxDelay,
	}}
}

// CloseIdleConnections closes those of the transport below.
func (t *Transport) CloseIdleConnections() {
	if next, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	budget := t.retries.hosts.of(req.URL.Host)
	budget.First()
	t.retries.metrics.httpCalls.WithLabelValues(attemptFirst).Inc()
	resp, err := t.next.RoundTrip(req)
	for attempt := 1; failed(req.Context(), resp, err); attempt++ {
		wait, stop := t.judge(req, resp, attempt, budget)
		if stop != "" {
			t.retries.metrics.httpStops.WithLabelValues(stop).Inc()
			return resp, err
		}
		discard(resp)
		if err := sleep(req.Context(), wait); err != nil {
			return nil, err
		}
		again, bodyErr := clone(req)
		if bodyErr != nil {
			return nil, bodyErr
		}
		t.retries.metrics.httpCalls.WithLabelValues(attemptRetry).Inc()
		resp, err = t.next.RoundTrip(again)
	}
	return resp, err
}

// judge returns how long to wait before the call is made again, or why it
// isn't. The budget is asked last, so that only a retry that is made is paid.
func (t *Transport) judge(req *http.Request, resp *http.Response, attempt int, budget *Budget) (wait time.Duration, stop string) {
	if !repeatable(req) {
		return 0, stopUnsafe
	}
	if attempt >= t.policy.MaxAttempts {
		return 0, stopAttempts
	}
	wait = max(t.policy.Delay(attempt, t.retries.random()), retryAfter(resp))
	if wait > t.policy.MaxDelay {
		return 0, stopWait
	}
	if deadline, ok := req.Context().Deadline(); ok && time.Until(deadline) <= wait {
		return 0, stopWait
	}
	if !budget.Retry() {
		return 0, stopBudget
	}
	return wait, ""
}

// failed reports whether a call ended in a way that another may not.
func failed(ctx context.Context, resp *http.Response, err error) bool {
	if err != nil {
		return ctx.Err() == nil && !errors.Is(err, context.Canceled) && !IsPermanent(err)
	}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// repeatable reports whether the request can be sent twice, and may be.
func repeatable(req *http.Request) bool {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return false
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return req.Header.Get("Idempotency-Key") != ""
}

// clone returns the request with its body from the beginning.
func clone(req *http.Request) (*http.Request, error) {
	again := req.Clone(req.Context())
	if req.GetBody == nil {
		return again, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, fmt.Errorf("rewind the body for a retry: %w", err)
	}
	again.Body = body
	return again, nil
}

// retryAfter returns how long the answer asks to wait: seconds or a date (RFC
// 9110, section 10.2.3), or 0 where it asks for nothing that can be read.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	v := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// discard reads the rest of a short answer, so that its connection is used
// again, and closes it.
func discard(resp *http.Response) {
	if resp == nil {
		return
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // only to save a connection
	_ = resp.Body.Close()                         // nothing was written
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

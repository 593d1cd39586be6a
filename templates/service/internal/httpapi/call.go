package httpapi

import "context"

// A Call is what is noted of one request while it is answered, for its log line
// and its answer. It belongs to the goroutine that serves the request.
type Call struct {
	// ID is the request id, from the caller's X-Request-Id or made here.
	ID string
	// Err is the error that the request was answered with, whole, where the
	// caller may have seen only a part of it.
	Err error
	// Outage, where it is set, tells errors of what the service needs and can't
	// use for now, such as its database, from all others.
	Outage func(error) bool
}

type callKey struct{}

// WithCall returns a context that carries call.
func WithCall(ctx context.Context, call *Call) context.Context {
	return context.WithValue(ctx, callKey{}, call)
}

// RequestID returns the id of the request that ctx belongs to, or "".
func RequestID(ctx context.Context) string {
	return callFrom(ctx).ID
}

func callFrom(ctx context.Context) *Call {
	if call, ok := ctx.Value(callKey{}).(*Call); ok {
		return call
	}
	return &Call{}
}

package retries

import "errors"

// Permanent marks err as one that trying again can't heal, such as a request
// that is refused as wrong. It returns nil where err is nil. An error that
// isn't marked is transient: what nobody thought of is tried again, up to the
// caps.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether err is or wraps one that [Permanent] marked.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent lets packages that don't know this one tell what is permanent, as
// [net.Error] does with Timeout.
func (e *permanentError) Permanent() bool { return true }

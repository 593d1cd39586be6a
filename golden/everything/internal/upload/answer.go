package upload

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"syscall"

	"github.com/aws/smithy-go"
)

// classify tells the storage's answers apart by what they mean here.
func classify(err error) error {
	status := 0
	if answer := (interface{ HTTPStatusCode() int })(nil); errors.As(err, &answer) {
		status = answer.HTTPStatusCode()
	}
	code := ""
	if api := (smithy.APIError)(nil); errors.As(err, &api) {
		code = api.ErrorCode()
	}
	switch {
	case code == "NoSuchUpload" || code == "NoSuchKey" || code == "NotFound":
		return fmt.Errorf("%w: %w", errNoObject, err)
	case code == "InvalidPart": // one was sent again since they were listed
		return fmt.Errorf("%w: %w", ErrIncomplete, err)
	case status == 0:
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, silence(err), err)
	case status >= 500 || status == http.StatusTooManyRequests || code == "RequestTimeout":
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return fmt.Errorf("the storage refuses UPLOAD_S3_ACCESS_KEY, or lets it not do this: %w", err)
	case status == http.StatusMovedPermanently || status == http.StatusTemporaryRedirect:
		return fmt.Errorf("the bucket is elsewhere, see UPLOAD_S3_REGION: %w", err)
	case slices.Contains(refusals, code):
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err
}

// refusals are the codes of answers to a request that is never taken as it is. Others
// with their status, 400, are about the moment: a session's token that has expired, a
// key that is switched off.
var refusals = []string{
	"BadDigest", "EntityTooLarge", "EntityTooSmall", "InvalidDigest", "InvalidPartOrder", "InvalidRequest",
	"XAmzContentChecksumMismatch",
}

// errNoKey means that there is nothing to sign with.
var errNoKey = errors.New("there is no key to sign with")

// silence says why no answer came from the storage. None of these errors holds
// more of a key than its id.
func silence(err error) string {
	var (
		name   *net.DNSError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
		netErr net.Error
	)
	switch {
	case errors.Is(err, errNoKey):
		return "no key"
	case errors.As(err, &name):
		return "its name is not found"
	case errors.As(err, &cert):
		return "its certificate is not trusted"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record), errors.As(err, &alert):
		return "no TLS connection"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection is refused"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return "the time is up"
	}
	return "the connection broke"
}

package database

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// outages are the classes of SQLSTATE that tell of the server's state rather
// than of the statement: connection, transaction rolled back, resources, not in
// the state for it, operator's intervention, system error. A server that was
// primary until now says 25006, that it takes no writes.
var outages = []string{"08", "40", "53", "55", "57", "58", "25006"}

// IsOutage reports whether err says that the database could not be used in time,
// for now: it is not reached, has broken off, is too busy, or the time was up.
// The same may succeed later; an error of the statement itself won't, and is
// none.
func IsOutage(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		for _, class := range outages {
			if strings.HasPrefix(e.Code, class) {
				return true
			}
		}
		return false
	}
	var (
		connect *pgconn.ConnectError
		network net.Error
	)
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &connect) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

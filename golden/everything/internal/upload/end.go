package upload

import (
	"context"
	"time"

	"example.com/orders/internal/database"
)

// fail notes that the object is not what was declared, and returns what the upload
// is then: another call may have ended it otherwise meanwhile.
func (s *Uploads) fail(ctx context.Context, u Upload, reason string) (Upload, error) {
	if _, err := s.end(ctx, u, Failed, reason); err != nil {
		return Upload{}, err
	}
	return s.outcome(ctx, u.ID)
}

// outcome returns the upload if it is ready, and else a [StatusError] that says what
// it is.
func (s *Uploads) outcome(ctx context.Context, id string) (Upload, error) {
	u, err := s.store.byID(ctx, id)
	if err == nil && u.Status != Ready {
		err = &StatusError{u.Status, u.Reason}
	}
	return u, err
}

// Cancel gives up a pending upload, or deletes a ready one. Its object and its
// parts are removed. To cancel it again does nothing.
func (s *Uploads) Cancel(ctx context.Context, id string) error {
	for {
		u, err := s.store.byID(ctx, id)
		if err != nil {
			return err
		}
		to, reason := Deleted, ""
		switch u.Status {
		case Ready:
		case Pending:
			to, reason = Aborted, "the client gave it up"
		default:
			return nil
		}
		ended, err := s.end(ctx, u, to, reason)
		if ended || err != nil {
			return err
		}
		// Another call has moved it on meanwhile. There are few states, and none is
		// entered again.
	}
}

// end moves u on to a state in which it has no object, and removes what there is,
// unless another call has moved it on already: then it reports false, and the object
// may be one that is wanted. A URL that is still valid can bring something back, and
// the storage may not answer now: so the sweeper removes it once more, when no URL is
// valid.
func (s *Uploads) end(ctx context.Context, u Upload, status Status, reason string) (ended bool, err error) {
	ended, err = s.store.apply(ctx, change{
		id: u.ID, from: u.Status, to: status, reason: reason, at: time.Now(), sweepAt: s.lastURL(u),
	}, func(database.Tx) error { return nil })
	if err != nil || !ended {
		return false, err
	}
	s.metrics.finished.WithLabelValues(string(status)).Inc()
	if err := s.storage.remove(ctx, u); err != nil {
		s.log.WarnContext(ctx, "an upload's remains are left to the sweeper", "upload", u.ID, "error", err)
	}
	return true, nil
}

package upload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"example.com/orders/internal/database"
)

// Complete is called when the client has sent everything: it has the storage put
// the parts together, and confirms the object. It can be called again at any
// time, and goes on where it was cut off.
func (s *Uploads) Complete(ctx context.Context, id string) (Upload, error) {
	u, err := s.store.byID(ctx, id)
	if err != nil {
		return Upload{}, err
	}
	if u.Status == Pending && u.PartSize > 0 {
		if err := s.assemble(ctx, u); err != nil {
			return Upload{}, err
		}
	}
	return s.Confirm(ctx, u.Key)
}

// assemble has the storage put the parts of u together.
func (s *Uploads) assemble(ctx context.Context, u Upload) error {
	if u.multipartID == "" {
		return nil // no part was ever asked for
	}
	stored, err := s.storage.listParts(ctx, u)
	if errors.Is(err, errNoObject) {
		return nil // it was put together before, or there is nothing: Confirm tells
	}
	if err != nil {
		return err
	}
	if missing := missingParts(u, stored); len(missing) > 0 {
		return fmt.Errorf("%w: %d of %d parts are missing: %s", ErrIncomplete, len(missing), u.Parts(), numbers(missing))
	}
	err = s.storage.completeMultipart(ctx, u, stored)
	switch {
	case errors.Is(err, errNoObject):
		return nil
	case errors.Is(err, errRefused):
		_, err = s.fail(ctx, u, "the storage refused the parts: together they are not what was declared")
	}
	return err
}

// missingParts returns the numbers of the parts that are not stored in their
// full length.
func missingParts(u Upload, stored []storedPart) []int {
	have := make(map[int]int64, len(stored))
	for _, p := range stored {
		have[p.Number] = p.size
	}
	var missing []int
	for n := 1; n <= u.Parts(); n++ {
		if have[n] != u.partLength(n) {
			missing = append(missing, n)
		}
	}
	return missing
}

// numbers lists the first few.
func numbers(list []int) string {
	const few = 20
	var b strings.Builder
	for i, n := range list {
		if i == few {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, n)
	}
	return b.String()
}

// Confirm compares the object with what was declared, and moves a pending upload
// to ready or failed accordingly. Whoever learns that an object may have arrived
// calls it, as often as it likes: the client's call, the sweeper, an event of
// the storage. It returns the upload when it is ready, [ErrIncomplete] where the
// object is not there, and a [StatusError] when it is or becomes something else.
func (s *Uploads) Confirm(ctx context.Context, key string) (Upload, error) {
	u, err := s.store.byKey(ctx, key)
	switch {
	case err != nil:
		return Upload{}, err
	case u.Status == Ready:
		return u, nil
	case u.Status != Pending:
		return Upload{}, &StatusError{u.Status, u.Reason}
	}
	found, err := s.storage.head(ctx, key)
	if errors.Is(err, errNoObject) {
		return Upload{}, fmt.Errorf("%w: the object is not in the storage", ErrIncomplete)
	}
	if err != nil {
		return Upload{}, err
	}
	if reason := mismatch(u, found); reason != "" {
		return s.fail(ctx, u, reason)
	}
	return s.ready(ctx, u)
}

// ready moves a pending upload to ready, together with what others do then.
func (s *Uploads) ready(ctx context.Context, u Upload) (Upload, error) {
	c := change{id: u.ID, from: Pending, to: Ready, at: time.Now()}
	if u.PartSize > 0 {
		c.sweepAt = s.lastURL(u) // there may be a second multipart upload of it
	}
	changed, err := s.store.apply(ctx, c, func(tx database.Tx) error {
		u.Status = Ready
		for _, fn := range s.onReady {
			if err := fn(ctx, tx, u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Upload{}, err
	}
	if changed {
		s.metrics.finished.WithLabelValues(string(Ready)).Inc()
		s.metrics.bytes.Add(float64(u.Size))
	}
	// Where nothing changed, another call has finished it in the meantime.
	return s.outcome(ctx, u.ID)
}

// mismatch says how the object differs from what was declared, or nothing.
func mismatch(u Upload, found object) string {
	switch {
	case found.size != u.Size:
		return fmt.Sprintf("the object has %d bytes, and %d were declared", found.size, u.Size)
	case found.mediaType != u.Type:
		return fmt.Sprintf("the object is %q, and %q was declared", found.mediaType, u.Type)
	case found.sha256 != checksumHeader(u):
		return "the object has another SHA-256 than was declared"
	}
	return ""
}

package upload

import (
	"context"
	"errors"
	"time"
)

// Run sweeps in the configured period until ctx is done.
func (s *Uploads) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.config.SweepPeriod)
	defer ticker.Stop()
	for {
		if err := s.Sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "sweep uploads", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Sweep deals with the uploads whose time is up at now: one that did arrive,
// though nobody said so, becomes ready, and every other is aborted. What is left
// in the storage of an upload that came to nothing is removed. It stops when the
// storage does not answer; all is as it was then, and the next sweep goes on.
func (s *Uploads) Sweep(ctx context.Context, now time.Time) error {
	due, err := s.store.due(ctx, now, s.config.SweepBatch)
	if err != nil {
		return err
	}
	var errs []error
	for _, u := range due {
		err := s.sweep(ctx, u)
		if err == nil {
			continue
		}
		errs = append(errs, err)
		if ctx.Err() != nil || errors.Is(err, ErrUnavailable) {
			break
		}
		// One that can't be swept doesn't keep the rest from it.
		if err := s.store.postpone(ctx, u.ID, now.Add(10*s.config.SweepPeriod)); err != nil {
			errs = append(errs, err)
		}
	}
	left, err := s.store.countDue(ctx, now)
	if err == nil {
		s.metrics.backlog.Set(float64(left))
	}
	errs = append(errs, err, s.store.prune(ctx, now.Add(-s.config.Retention), s.config.SweepBatch))
	return errors.Join(errs...)
}

// sweep settles u for good. Nobody can send anything for it any more.
func (s *Uploads) sweep(ctx context.Context, u Upload) error {
	if u.Status == Pending {
		_, err := s.Complete(ctx, u.ID)
		if statusErr := (*StatusError)(nil); errors.As(err, &statusErr) {
			err = nil
		} else if errors.Is(err, ErrIncomplete) {
			_, err = s.end(ctx, u, Aborted, "its time was up")
		}
		if err != nil {
			return err
		}
		if u, err = s.store.byID(ctx, u.ID); err != nil {
			return err
		}
	}
	remove := s.storage.remove
	if u.Status == Ready {
		remove = s.storage.abortMultiparts
	}
	if err := remove(ctx, u); err != nil {
		return err
	}
	return s.store.swept(ctx, u.ID)
}

package upload

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"example.com/orders/internal/database"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/workers"
)

// setupInspection returns uploads that a running pool inspects.
func setupInspection(t *testing.T, last func(context.Context, database.Tx, Upload) error) *Uploads {
	t.Helper()
	s := setup(t, nil)
	log := slog.New(slog.DiscardHandler)
	if err := workers.Migrate(t.Context(), s.store.db, log); err != nil {
		t.Fatal(err)
	}
	pool, err := workers.New(s.store.db, workers.Config{
		Concurrency: 2, JobTimeout: time.Minute, RescueAfter: 2 * time.Minute, MaxAttempts: 3, MaxDepth: 100,
		FetchCooldown: 5 * time.Millisecond, PollInterval: 50 * time.Millisecond,
		DrainTimeout: 10 * time.Second, EnqueueTimeout: 5 * time.Second, KeyTTL: time.Hour,
	}, log, prometheus.NewRegistry(), noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	s.InspectWith(pool)
	if last != nil {
		s.OnReady(last)
	}
	if err := pool.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Stop(context.Background()); err != nil {
			t.Errorf("stop the pool: %v", err)
		}
	})
	return s
}

// inspected waits until the job has run.
func inspected(t *testing.T, s *Uploads, id string) Inspection {
	t.Helper()
	var in Inspection
	waittest.Until(t, func() (err error) {
		in, err = s.store.inspection(t.Context(), id)
		if err == nil && in.Status == inspectionQueued {
			err = errors.New("the job has not run")
		}
		return err
	})
	return in
}

func TestInspectionTellsWhatTheBytesAre(t *testing.T) {
	t.Parallel()
	s := setupInspection(t, nil)
	for name, tt := range map[string]struct {
		declared, content, detected string
		plausible                   bool
	}{
		"as declared": {"text/plain", "hello", "text/plain", true},
		"another":     {"image/png", "hello", "text/plain", false},
		"a picture":   {"image/png", "\x89PNG\x0D\x0A\x1A\x0A and so on", "image/png", true},
		"can't tell":  {"image/png", "\x00\x01\x02", "application/octet-stream", true},
	} {
		b := []byte(tt.content)
		u, err := s.Create(t.Context(), "a", tt.declared, int64(len(b)), sum(b))
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, signOne(t, s, u, 1, sum(b)), b)
		if _, err := s.Complete(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
		in := inspected(t, s, u.ID)
		if in.Status != inspectionDone || in.Detected != tt.detected || plausible(u.Type, in.Detected) != tt.plausible {
			t.Errorf("%s: %+v, want %q, plausible %v", name, in, tt.detected, tt.plausible)
		}
	}
}

// A job is there just when its upload is ready.
func TestInspectionComesWithItsUpload(t *testing.T) {
	t.Parallel()
	s := setupInspection(t, func(context.Context, database.Tx, Upload) error { return errors.New("no") })
	b := content(10)
	u, _ := begin(t, s, b)
	mustPut(t, signOne(t, s, u, 1, sum(b)), b)
	if _, err := s.Complete(t.Context(), u.ID); err == nil {
		t.Error("complete succeeded without what follows")
	}
	wantStatus(t, s, u.ID, Pending)
	if in, err := s.store.inspection(t.Context(), u.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("an inspection of a pending upload: %+v, %v", in, err)
	}
}

func TestInspectionOfADeletedUploadFails(t *testing.T) {
	t.Parallel()
	var s *Uploads
	s = setupInspection(t, func(ctx context.Context, _ database.Tx, u Upload) error {
		// The job can't run before this transaction has ended.
		return s.storage.remove(ctx, u)
	})
	b := content(10)
	u, _ := begin(t, s, b)
	mustPut(t, signOne(t, s, u, 1, sum(b)), b)
	if _, err := s.Complete(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	if in := inspected(t, s, u.ID); in.Status != inspectionFailed || in.Error != "the object is gone" {
		t.Errorf("the inspection: %+v", in)
	}
}

package upload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/trace/noop"

	"example.com/orders/internal/database"
	"example.com/orders/internal/waittest"
)

// afterAll is when no URL of an upload that begins now can be used any more.
func afterAll(s *Uploads) time.Time {
	return time.Now().Add(s.config.Expiry + s.config.URLExpiry + time.Minute)
}

func TestSweepSettlesWhatNobodyFinished(t *testing.T) {
	t.Parallel()
	large, small := content(2*minPartSize), content(100)
	for name, tt := range map[string]struct {
		b       []byte
		send    []int // numbers of parts
		before  func(t *testing.T, s *Uploads, u Upload)
		want    Status
		remains string
	}{
		"nothing was sent":    {b: small, want: Aborted},
		"it was sent":         {b: small, send: []int{1}, want: Ready, remains: "object"},
		"no part was sent":    {b: large, want: Aborted},
		"a part was sent":     {b: large, send: []int{2}, want: Aborted},
		"all parts were sent": {b: large, send: []int{1, 2}, want: Ready, remains: "object"},
		"the parts were put together": {b: large, send: []int{1, 2}, want: Ready, remains: "object",
			before: func(t *testing.T, s *Uploads, u Upload) {
				t.Helper()
				if err := s.assemble(t.Context(), u); err != nil {
					t.Fatal(err)
				}
			}},
		"a second multipart upload was begun": {b: large, send: []int{1, 2}, want: Ready, remains: "object",
			before: func(t *testing.T, s *Uploads, u Upload) {
				t.Helper()
				if _, err := s.storage.createMultipart(t.Context(), u); err != nil {
					t.Fatal(err)
				}
			}},
		"it was given up, and sent after that": {b: small, want: Aborted,
			before: func(t *testing.T, s *Uploads, u Upload) {
				t.Helper()
				r := signOne(t, s, u, 1, u.SHA256)
				if err := s.Cancel(t.Context(), u.ID); err != nil {
					t.Fatal(err)
				}
				mustPut(t, r, small)
			}},
		"it was deleted": {b: small, send: []int{1}, want: Deleted,
			before: func(t *testing.T, s *Uploads, u Upload) {
				t.Helper()
				if _, err := s.Complete(t.Context(), u.ID); err != nil {
					t.Fatal(err)
				}
				for range 2 { // the second finds it done
					if err := s.Cancel(t.Context(), u.ID); err != nil {
						t.Fatal(err)
					}
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t, nil)
			u, parts := begin(t, s, tt.b)
			for _, n := range tt.send {
				mustPut(t, signOne(t, s, u, n, sum(parts[n-1])), parts[n-1])
			}
			if tt.before != nil {
				tt.before(t, s, u)
			}
			status := wantStatus(t, s, u.ID, mustGet(t, s, u.ID).Status).Status
			if err := s.Sweep(t.Context(), u.ExpiresAt.Add(s.config.URLExpiry-time.Second)); err != nil {
				t.Fatal(err)
			}
			wantStatus(t, s, u.ID, status) // a URL may still be used: not yet
			if err := s.Sweep(t.Context(), afterAll(s)); err != nil {
				t.Fatal(err)
			}
			u = wantStatus(t, s, u.ID, tt.want)
			if got := remains(t, s, u); got != tt.remains {
				t.Errorf("in the storage: %q, want %q", got, tt.remains)
			}
			if open := openMultiparts(t, s, u); open > 0 {
				t.Errorf("%d multipart uploads are open", open)
			}
			if due, err := s.store.countDue(t.Context(), afterAll(s).Add(1000*time.Hour)); err != nil || due > 0 {
				t.Errorf("%d are due again, %v", due, err)
			}
		})
	}
}

func mustGet(t testing.TB, s *Uploads, id string) Upload {
	t.Helper()
	u, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// openMultiparts counts those of u, noted or not.
func openMultiparts(t testing.TB, s *Uploads, u Upload) int {
	t.Helper()
	ids, err := s.storage.listMultiparts(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	return len(ids)
}

// Nothing is lost or given up while the storage is away.
func TestSweepWaitsForTheStorage(t *testing.T) {
	t.Parallel()
	s := setup(t, nil)
	for range 3 {
		begin(t, s, content(10))
	}
	alive := s.storage
	dead, err := newStorage(t.Context(), deadConfig(), noop.NewTracerProvider(), s.metrics)
	if err != nil {
		t.Fatal(err)
	}
	s.storage = dead
	if err := s.Sweep(t.Context(), afterAll(s)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("sweep: %v, want %v", err, ErrUnavailable)
	}
	if backlog := testutil.ToFloat64(s.metrics.backlog); backlog != 3 {
		t.Errorf("the backlog is %v, want 3", backlog)
	}
	s.storage = alive
	if err := s.Sweep(t.Context(), afterAll(s)); err != nil {
		t.Fatal(err)
	}
	if aborted := testutil.ToFloat64(s.metrics.finished.WithLabelValues("aborted")); aborted != 3 {
		t.Errorf("%v were aborted, want 3", aborted)
	}
	if backlog := testutil.ToFloat64(s.metrics.backlog); backlog != 0 {
		t.Errorf("the backlog is %v, want 0", backlog)
	}
}

func deadConfig() Config {
	config := testConfig()
	config.Endpoint, config.Timeout = "http://127.0.0.1:1", 100*time.Millisecond
	return config
}

// One upload that can't be settled does not keep the others from it.
func TestSweepGoesOnAfterOneThatFails(t *testing.T) {
	t.Parallel()
	s := setup(t, func(c *Config) { c.SweepBatch = 1 })
	b := content(10)
	poison, _ := begin(t, s, b)
	s.OnReady(func(_ context.Context, _ database.Tx, u Upload) error {
		if u.ID == poison.ID {
			return errors.New("no")
		}
		return nil
	})
	mustPut(t, signOne(t, s, poison, 1, sum(b)), b)
	next, _ := begin(t, s, b)
	now := afterAll(s)
	if err := s.Sweep(t.Context(), now); err == nil || !strings.Contains(err.Error(), "no") {
		t.Errorf("sweep: %v", err)
	}
	if err := s.Sweep(t.Context(), now); err != nil {
		t.Errorf("sweep: %v", err)
	}
	wantStatus(t, s, poison.ID, Pending)
	wantStatus(t, s, next.ID, Aborted)
	if due, err := s.store.countDue(t.Context(), now.Add(11*s.config.SweepPeriod)); err != nil || due != 1 {
		t.Errorf("%d are due later, %v; want the one that failed", due, err)
	}
}

func TestSweepForgetsWhatCameToNothing(t *testing.T) {
	t.Parallel()
	s := setup(t, nil)
	u, _ := begin(t, s, content(10))
	if err := s.Sweep(t.Context(), afterAll(s)); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s, u.ID, Aborted)
	if err := s.Sweep(t.Context(), time.Now().Add(s.config.Retention+time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), u.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("get: %v, want %v", err, ErrNotFound)
	}
}

func TestRunSweepsUntilItIsTold(t *testing.T) {
	t.Parallel()
	s := setup(t, func(c *Config) {
		c.SweepPeriod, c.Expiry, c.URLExpiry = time.Millisecond, time.Millisecond, time.Second
	})
	u, _ := begin(t, s, content(10))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	waittest.Until(t, func() error {
		if status := mustGet(t, s, u.ID).Status; status != Aborted {
			return fmt.Errorf("it is %s", status)
		}
		return nil
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// However many say that an upload is there, it becomes ready once.
func TestReadyIsToldOnce(t *testing.T) {
	t.Parallel()
	s := setup(t, nil)
	b := content(2 * minPartSize)
	u, parts := begin(t, s, b)
	for i, part := range parts {
		mustPut(t, signOne(t, s, u, i+1, sum(part)), part)
	}
	var told []string
	var mu sync.Mutex
	s.OnReady(func(_ context.Context, _ database.Tx, u Upload) error {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprint(u.ID, u.Status))
		return nil
	})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			// Some find that it is being put together, and come again.
			for deadline := time.Now().Add(20 * time.Second); ; {
				ready, err := s.Complete(t.Context(), u.ID)
				if err == nil && ready.Status == Ready {
					return
				}
				if !errors.Is(err, ErrIncomplete) && !errors.Is(err, ErrUnavailable) || time.Now().After(deadline) {
					t.Errorf("complete: %v %v", ready.Status, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if want := fmt.Sprint(u.ID, Ready); len(told) != 1 || told[0] != want {
		t.Errorf("told %v, want %q once", told, want)
	}
	if got := testutil.ToFloat64(s.metrics.bytes); got != float64(len(b)) {
		t.Errorf("counted %v bytes, want %d", got, len(b))
	}
}

// Several end one upload at the same moment. Whoever is too late knows only what it
// was, and leaves the object of what it has become.
func TestWhoIsTooLateRemovesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t, nil)
	b := content(10)
	u, _ := begin(t, s, b)
	mustPut(t, signOne(t, s, u, 1, sum(b)), b)
	if _, err := s.Complete(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	if ended, err := s.end(t.Context(), u, Aborted, "its time was up"); ended || err != nil {
		t.Errorf("ended what was ready: %t, error %v", ended, err)
	}
	if ready, err := s.fail(t.Context(), u, "too late"); ready.Status != Ready || err != nil {
		t.Errorf("failed what was ready: %s, error %v", ready.Status, err)
	}
	if got := remains(t, s, wantStatus(t, s, u.ID, Ready)); got != "object" {
		t.Errorf("of what is ready, the storage has: %q", got)
	}
	if err := s.Cancel(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	if got := remains(t, s, wantStatus(t, s, u.ID, Deleted)); got != "" {
		t.Errorf("of what was deleted, the storage has: %q", got)
	}
}

// What is to happen with a ready upload happens with it or not at all.
func TestReadyWaitsForWhatFollows(t *testing.T) {
	t.Parallel()
	s := setup(t, nil)
	b := content(10)
	u, _ := begin(t, s, b)
	mustPut(t, signOne(t, s, u, 1, sum(b)), b)
	broken := true
	s.OnReady(func(context.Context, database.Tx, Upload) error {
		if broken {
			return errors.New("no")
		}
		return nil
	})
	if _, err := s.Complete(t.Context(), u.ID); err == nil {
		t.Error("complete succeeded without what follows")
	}
	wantStatus(t, s, u.ID, Pending)
	broken = false
	if _, err := s.Complete(t.Context(), u.ID); err != nil {
		t.Error(err)
	}
	wantStatus(t, s, u.ID, Ready)
}

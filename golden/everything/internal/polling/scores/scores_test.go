package scores_test

import (
	"context"
	"errors"
	"testing"

	"example.com/orders/internal/polling"
	"example.com/orders/internal/polling/scores"
)

func TestVersionsFollowTheScore(t *testing.T) {
	t.Parallel()
	s := scores.New(2)
	seen := make(map[string]bool)
	for _, tt := range []struct {
		id      string
		home    int
		changes bool
	}{
		{"a", 0, true},
		{"a", 1, true},
		{"a", 1, false},
		{"b", 1, true},
		{"a", 0, true},
	} {
		if err := s.Put(tt.id, scores.Score{Home: tt.home}, nil); err != nil {
			t.Fatal(err)
		}
		version, err := s.Version(t.Context(), tt.id)
		loaded, value, err2 := s.Load(t.Context(), tt.id)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if version != loaded || value != (scores.Score{Home: tt.home}) {
			t.Errorf("version %v, loaded %v: %v", version, loaded, value)
		}
		if seen[version.Tag] == tt.changes {
			t.Errorf("%+v: version %s", tt, version.Tag)
		}
		seen[version.Tag] = true
	}
	if err := s.Put("c", scores.Score{}, nil); !errors.Is(err, scores.ErrFull) {
		t.Errorf("a third match: %v", err)
	}
	if _, err := s.Version(t.Context(), "c"); !errors.Is(err, polling.ErrNotFound) {
		t.Errorf("no match: %v", err)
	}
	if _, _, err := s.Load(t.Context(), "c"); !errors.Is(err, polling.ErrNotFound) {
		t.Errorf("no match: %v", err)
	}
}

// The store of the next process has other versions for the same scores.
func TestVersionsDontComeBackAfterARestart(t *testing.T) {
	t.Parallel()
	version := func(ctx context.Context) polling.Version {
		s := scores.New(1)
		if err := s.Put("a", scores.Score{}, nil); err != nil {
			t.Fatal(err)
		}
		v, err := s.Version(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if a, b := version(t.Context()), version(t.Context()); a == b {
		t.Errorf("both have %v", a)
	}
}

// Package scores is an example of what is polled: the scores of matches, which
// many watch and few change. It keeps them in memory, each with a version.
package scores

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"sync"

	"example.com/orders/internal/polling"
)

// A Score is how a match stands.
type Score struct {
	Home int `json:"home"`
	Away int `json:"away"`
}

var (
	// ErrFull means that no further match can be kept.
	ErrFull = errors.New("too many matches")
	// ErrOther means that the match has another version than the caller thinks.
	ErrOther = errors.New("another version")
)

// A Store keeps the scores of one process. It is a [polling.Source].
type Store struct {
	most int
	// epoch begins all versions: after a restart they count from 1 again, and
	// must not be those of before.
	epoch string

	mu      sync.RWMutex
	changes uint64
	matches map[string]match
}

type match struct {
	score   Score
	version polling.Version
}

// New returns a store for that many matches.
func New(most int) *Store {
	return &Store{most: most, epoch: strings.ToLower(rand.Text()[:10]), matches: make(map[string]match)}
}

// Put sets a match's score, if that is allowed for the version that it has; nil allows
// all. A score that stays the same keeps its version.
func (s *Store) Put(id string, score Score, allowed func(v polling.Version, there bool) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.matches[id]
	switch {
	case allowed != nil && !allowed(old.version, ok):
		return ErrOther
	case ok && old.score == score:
		return nil
	case !ok && len(s.matches) >= s.most:
		return ErrFull
	}
	s.changes++
	version := polling.Version{Tag: s.epoch + "-" + strconv.FormatUint(s.changes, 10)}
	s.matches[id] = match{score, version}
	return nil
}

// Version implements [polling.Source].
func (s *Store) Version(_ context.Context, id string) (polling.Version, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m, ok := s.matches[id]
	if !ok {
		return polling.Version{}, polling.ErrNotFound
	}
	return m.version, nil
}

// Load implements [polling.Source].
func (s *Store) Load(_ context.Context, id string) (polling.Version, any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m, ok := s.matches[id]
	if !ok {
		return polling.Version{}, nil, polling.ErrNotFound
	}
	return m.version, m.score, nil
}

// Package documents is the example of state that one member of the ring has:
// documents that many edit at once, with their words counted as they come.
package documents

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// MaxText is how many bytes an edit may add.
	MaxText = 1 << 10
	// keep is how many of a document's last edits are in memory.
	keep = 20
	// most is how many documents a member has at most, so that it needs no more
	// than some 200 MB for them.
	most = 10_000
)

// ErrFull is that there is no room for another document.
var ErrFull = errors.New("there is no room for another document")

// A Document is what is known of one.
type Document struct {
	ID string `json:"id"`
	// Edits is how many there were.
	Edits int `json:"edits"`
	Words int `json:"words"`
	// Last is the newest edits, the newest last.
	Last []string `json:"last"`
}

// A kept document is one in memory, with what tells which of two copies is newer.
// Each time that a member comes to answer for a document, its first edit begins a new
// line: another may have gone on from the same copy, or without any. No two members
// answer at once. So the line that began later is the newer one, however many edits
// are in the other; edits count within one line only.
type kept struct {
	Document
	// Began is when the line did, by its member's clock.
	Began time.Time `json:"began"`
	// mine is set from the first edit here until another member may have had it.
	mine bool
}

func (k kept) newer(than kept) bool {
	if k.Began.Equal(than.Began) {
		return k.Edits > than.Edits
	}
	return k.Began.After(than.Began)
}

// A Shelf has documents in memory, by the ring's partitions.
type Shelf struct {
	partition func(id string) int

	mu        sync.Mutex
	documents map[int]map[string]kept
	count     int
}

// New returns an empty shelf; partition says where a document's id belongs.
func New(partition func(id string) int) *Shelf {
	return &Shelf{partition: partition, documents: make(map[int]map[string]kept)}
}

// Get returns a document, and whether there is one.
func (s *Shelf) Get(id string) (Document, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.documents[s.partition(id)][id]
	return k.Document, ok
}

// Edit adds text to a document, and makes it where there is none.
func (s *Shelf) Edit(id, text string) (Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.documents[s.partition(id)][id]
	if !ok && s.count >= most {
		return Document{}, ErrFull
	}
	if !k.mine {
		// Later than the copy at hand, also where its member's clock is ahead.
		began := time.Now()
		if !began.After(k.Began) {
			began = k.Began.Add(1)
		}
		k.Began, k.mine = began, true
	}
	k.ID = id
	k.Edits++
	k.Words += len(strings.Fields(text))
	// A copy: whoever was given the document reads it still.
	k.Last = append(slices.Clone(k.Last[max(0, len(k.Last)-keep+1):]), text)
	s.put(k)
	return k.Document, nil
}

// Begin notes that another member may have had the documents of a partition, be it
// that it handed them over or not.
func (s *Shelf) Begin(partition int, _ bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, k := range s.documents[partition] {
		k.mine = false
		s.documents[partition][id] = k
	}
}

// put stores k; mu is held.
func (s *Shelf) put(k kept) {
	p := s.partition(k.ID)
	if s.documents[p] == nil {
		s.documents[p] = make(map[string]kept)
	}
	if _, ok := s.documents[p][k.ID]; !ok {
		s.count++
	}
	s.documents[p][k.ID] = k
}

// Export returns a partition's documents.
func (s *Shelf) Export(partition int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.documents[partition]) == 0 {
		return nil
	}
	state, _ := json.Marshal(s.documents[partition]) // strings, numbers and times always encode
	return state
}

// Import takes documents, but not where there is a newer one. It takes them over
// the limit: they have no other place.
func (s *Shelf) Import(_ int, state []byte) error {
	var documents map[string]kept
	if err := json.Unmarshal(state, &documents); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, k := range documents {
		if k.newer(s.documents[s.partition(id)][id]) {
			s.put(k)
		}
	}
	return nil
}

// Drop forgets a partition.
func (s *Shelf) Drop(partition int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count -= len(s.documents[partition])
	delete(s.documents, partition)
}

// Keys returns how many documents there are.
func (s *Shelf) Keys() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

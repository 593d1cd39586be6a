// Package documents is the example of state that one member of the ring has:
// documents that many edit at once, with their words counted as they come.
package documents

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
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
	// Edits is how many there were: of two copies, that with more is newer.
	Edits int `json:"edits"`
	Words int `json:"words"`
	// Last is the newest edits, the newest last.
	Last []string `json:"last"`
}

// A Shelf has documents in memory, by the ring's partitions.
type Shelf struct {
	partition func(id string) int

	mu        sync.Mutex
	documents map[int]map[string]Document
	count     int
}

// New returns an empty shelf; partition says where a document's id belongs.
func New(partition func(id string) int) *Shelf {
	return &Shelf{partition: partition, documents: make(map[int]map[string]Document)}
}

// Get returns a document, and whether there is one.
func (s *Shelf) Get(id string) (Document, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.documents[s.partition(id)][id]
	return d, ok
}

// Edit adds text to a document, and makes it where there is none.
func (s *Shelf) Edit(id, text string) (Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.documents[s.partition(id)][id]
	if !ok && s.count >= most {
		return d, ErrFull
	}
	d.ID = id
	d.Edits++
	d.Words += len(strings.Fields(text))
	// A copy: whoever was given the document reads it still.
	d.Last = append(slices.Clone(d.Last[max(0, len(d.Last)-keep+1):]), text)
	s.put(d)
	return d, nil
}

// put stores d; mu is held.
func (s *Shelf) put(d Document) {
	p := s.partition(d.ID)
	if s.documents[p] == nil {
		s.documents[p] = make(map[string]Document)
	}
	if _, ok := s.documents[p][d.ID]; !ok {
		s.count++
	}
	s.documents[p][d.ID] = d
}

// Export returns a partition's documents.
func (s *Shelf) Export(partition int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.documents[partition]) == 0 {
		return nil
	}
	state, _ := json.Marshal(s.documents[partition]) // strings and numbers always encode
	return state
}

// Import takes documents, but not where there is a newer one. It takes them over
// the limit: they have no other place.
func (s *Shelf) Import(_ int, state []byte) error {
	var documents map[string]Document
	if err := json.Unmarshal(state, &documents); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, d := range documents {
		if have := s.documents[s.partition(id)][id]; d.Edits > have.Edits {
			s.put(d)
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

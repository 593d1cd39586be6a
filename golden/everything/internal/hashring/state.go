package hashring

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
)

// A State is what members keep of keys, in memory. A partition is locked while
// Export, Import and Drop are called for it: no [Node.Do] runs in it.
type State interface {
	// Export returns the state of a partition's keys, nil for none.
	Export(partition int) []byte
	// Import takes what another member's Export returned. Where a key is there
	// already, it decides which is newer: the same state can come twice, and a
	// member that was lost comes back with what others have gone on with, or begun
	// anew, meanwhile. A [Beginner] can tell.
	Import(partition int, state []byte) error
	// Drop forgets a partition that another member has now.
	Drop(partition int)
	// Keys returns how many there are.
	Keys() int
}

// A Beginner is a State that is told whenever this member comes to answer for a
// partition; no [Node.Do] has run since it last did. Where newest is set, nobody has
// gone on from a copy that is not here: the partition was handed over, or there never
// was another member. Where it is not, who had the partition is lost, or this member
// itself was for a while: what is here may be old, and others may have seen more.
// Begin must not call the node.
type Beginner interface {
	Begin(partition int, newest bool)
}

// Add has the members keep a state. All must have the same ones, by the same names.
// Call it before [Node.Run].
func (n *Node) Add(name string, s State) { n.state[name] = s }

// states are all that a member keeps, by their names.
type states map[string]State

// Export returns the states of a partition, as one.
func (s states) Export(partition int) []byte {
	all := make(map[string][]byte, len(s))
	for name, each := range s {
		if state := each.Export(partition); state != nil {
			all[name] = state
		}
	}
	if len(all) == 0 {
		return nil
	}
	var encoded bytes.Buffer
	_ = gob.NewEncoder(&encoded).Encode(all) // strings and bytes always encode
	return encoded.Bytes()
}

// Import takes what Export returned.
func (s states) Import(partition int, state []byte) error {
	var all map[string][]byte
	if err := gob.NewDecoder(bytes.NewReader(state)).Decode(&all); err != nil {
		return err
	}
	var errs []error
	for name, state := range all {
		err := errors.New("is kept by the other member only")
		if each, ok := s[name]; ok {
			err = each.Import(partition, state)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Begin tells those that are to know.
func (s states) Begin(partition int, newest bool) {
	for _, each := range s {
		if b, ok := each.(Beginner); ok {
			b.Begin(partition, newest)
		}
	}
}

// Drop forgets a partition.
func (s states) Drop(partition int) {
	for _, each := range s {
		each.Drop(partition)
	}
}

// Keys returns how many there are.
func (s states) Keys() int {
	count := 0
	for _, each := range s {
		count += each.Keys()
	}
	return count
}

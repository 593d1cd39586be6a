// Package hashring keeps each key's state on one server of several: a ring of
// members says whose a key is, requests are forwarded to its owner, and the state
// is handed over when members come and go.
//
// It owns who may answer for a key, and when. It knows no route and not what the
// state is: that is its [State].
package hashring

import (
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/dgryski/go-rendezvous"
)

const (
	// Partitions is how many parts the keys fall into. Owners have whole
	// partitions. All members must have the same number.
	Partitions = 4096
	// bound is how much more than the mean of partitions a member may own.
	bound = 1.2
)

// PartitionOf returns the partition of a key.
func PartitionOf(key string) int { return int(xxhash.Sum64String(key) % Partitions) }

// A Ring says which member owns a partition. All who know the same members have
// the same ring. It never changes.
//
// Each partition goes to the member with the highest hash of both (rendezvous),
// among those that have fewer than 1.2 times the mean: consistent hashing with
// bounded loads, after Mirrokni, Thorup and Zadimoghaddam (SODA 2018).
type Ring struct {
	owners [Partitions]string
}

// NewRing returns the ring of the members, in whatever order.
func NewRing(members []string) *Ring {
	members = slices.Compact(slices.Sorted(slices.Values(members)))
	r := new(Ring)
	if len(members) == 0 {
		return r
	}
	most := int(math.Ceil(bound * Partitions / float64(len(members))))
	load := make(map[string]int, len(members))
	open := rendezvous.New(members, xxhash.Sum64String)
	for p := range r.owners {
		owner := open.Lookup(strconv.Itoa(p))
		r.owners[p] = owner
		if load[owner]++; load[owner] == most {
			// Its Remove panics: the rest is put together anew.
			members = slices.DeleteFunc(members, func(m string) bool { return m == owner })
			open = rendezvous.New(members, xxhash.Sum64String)
		}
	}
	return r
}

// Owner returns the member that owns a partition, or "" where there is none.
func (r *Ring) Owner(partition int) string { return r.owners[partition] }

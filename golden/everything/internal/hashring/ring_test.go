package hashring_test

import (
	"fmt"
	"math"
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"example.com/orders/internal/hashring"
)

const testKeys = 50_000

// loads returns how many of the keys each member owns, and how many do not have
// the owner that they have on the other ring.
func loads(ring, other *hashring.Ring) (load map[string]int, moved int) {
	load = make(map[string]int)
	for _, p := range testPartitions() {
		load[ring.Owner(p)]++
		if ring.Owner(p) != other.Owner(p) {
			moved++
		}
	}
	return load, moved
}

// testPartitions are those of the keys.
var testPartitions = sync.OnceValue(func() []int {
	partitions := make([]int, testKeys)
	for i := range partitions {
		partitions[i] = hashring.PartitionOf("key-" + strconv.Itoa(i))
	}
	return partitions
})

func most(load map[string]int) float64 {
	m := 0
	for _, l := range load {
		m = max(m, l)
	}
	return float64(m) * float64(len(load)) / testKeys
}

var names = rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9]{4,10}`), 2, 20, rapid.ID[string])

func TestLoadIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := names.Draw(t, "members")
		ring := hashring.NewRing(members)
		partitions := make(map[string]int)
		for p := range hashring.Partitions {
			partitions[ring.Owner(p)]++
		}
		limit := int(math.Ceil(1.2 * hashring.Partitions / float64(len(members))))
		for m, l := range partitions {
			if l > limit {
				t.Fatalf("%s owns %d partitions, more than %d", m, l, limit)
			}
		}
		if load, _ := loads(ring, ring); len(load) != len(members) || most(load) > 1.25 {
			t.Fatalf("keys: %d of %d members own any, one %.3f times the mean", len(load), len(members), most(load))
		}
	})
}

func TestFewKeysMove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9]{4,10}`), 5, 5, rapid.ID[string]).Draw(t, "members")
		all, fewer := hashring.NewRing(members), hashring.NewRing(members[1:])
		if _, moved := loads(all, fewer); float64(moved)/testKeys > 1./5+0.03 {
			t.Fatalf("%d of %d keys move when one of 5 leaves", moved, testKeys)
		}
	})
}

func TestTheOrderOfMembersIsOfNoMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := names.Draw(t, "members")
		other := rapid.Permutation(members).Draw(t, "other order")
		if _, moved := loads(hashring.NewRing(members), hashring.NewRing(append(other, members[0]))); moved > 0 {
			t.Fatalf("%d keys have another owner", moved)
		}
	})
}

func TestAnEmptyRingHasNoOwner(t *testing.T) {
	if owner := hashring.NewRing(nil).Owner(0); owner != "" {
		t.Errorf("owner %q", owner)
	}
}

func BenchmarkOwner(b *testing.B) {
	ring := hashring.NewRing([]string{"a", "b", "c", "d", "e"})
	for b.Loop() {
		if ring.Owner(hashring.PartitionOf("document-4711")) == "" {
			b.Fatal("no owner")
		}
	}
}

// What a change of members costs: the new ring, its balance, and what moves.
func BenchmarkRing(b *testing.B) {
	for _, n := range []int{5, 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var members []string
			for i := range n {
				members = append(members, "member-"+strconv.Itoa(i))
			}
			all := hashring.NewRing(members)
			var fewer *hashring.Ring
			for b.Loop() {
				fewer = hashring.NewRing(members[1:])
			}
			load, moved := loads(all, fewer)
			b.ReportMetric(most(load), "max/mean")
			b.ReportMetric(float64(moved)/testKeys*100, "%moved")
		})
	}
}

package merge

import (
	"slices"
	"strings"
)

// mergeOrdered is mergeItems for elements whose order means something: one that
// a side renamed in place stays what the other side's additions stand before or
// behind. It reports false where theirs adds elements next to some that ours
// replaced by others and it can't be known which became which.
func mergeOrdered(base, ours, theirs []item) ([]item, bool) {
	ours, theirs = slices.Clone(ours), slices.Clone(theirs)
	pairAlike(base, ours, theirs)
	pairAlike(base, theirs, ours)
	if unknown := pairInPlace(base, ours, theirs); addsNextTo(base, theirs, unknown) {
		return nil, false
	}
	return mergeItems(base, ours, theirs, noMerge)
}

// isComment reports whether an item is a comment that stands by itself.
func isComment(it item) bool { return strings.HasPrefix(it.key, "// ") }

// pairAlike gives an element of side the key of the base element that it is a
// renaming of: both differ from all others of their version in what they are
// besides the key, and agree in that.
func pairAlike(base, side, other []item) {
	o, s, x := byKey(base), byKey(side), byKey(other)
	was, is := byRest(base), byRest(side)
	for rest, at := range is {
		from, ok := was[rest]
		if !ok || at < 0 || from < 0 {
			continue
		}
		key := side[at].key
		if o[key] == nil && x[key] == nil && s[base[from].key] == nil {
			side[at].key = base[from].key
		}
	}
}

// byRest returns the index of the element that is the only one with this rest,
// and -1 for a rest that several have.
func byRest(items []item) map[string]int {
	index := map[string]int{}
	for i, it := range items {
		if it.rest == "" {
			continue
		}
		if _, twice := index[it.rest]; twice {
			i = -1
		}
		index[it.rest] = i
	}
	return index
}

// pairInPlace pairs the elements that ours has new with those of base that are
// gone, in order, where between the same two neighbours there are as many of
// both. It returns the keys of the gone elements for which there are others,
// but not as many.
func pairInPlace(base, ours, theirs []item) (unknown []string) {
	o, a, b := byKey(base), byKey(ours), byKey(theirs)
	gone := runs(base, func(key string) bool { return a[key] != nil }, func(string) bool { return false })
	added := runs(ours, func(key string) bool { return o[key] != nil }, func(key string) bool { return b[key] != nil })
	for _, g := range gone {
		for _, n := range added {
			switch {
			case g.before == n.before && g.behind == n.behind && len(g.at) == len(n.at):
				for i, at := range n.at {
					ours[at].key = base[g.at[i]].key
				}
			case g.before == n.before || g.behind == n.behind:
				for _, at := range g.at {
					unknown = append(unknown, base[at].key)
				}
			}
		}
	}
	return unknown
}

// A run is the indices of elements between two that stay.
type run struct {
	before, behind string // keys, "" at the ends
	at             []int
}

// runs returns the runs between the elements that stay, without those to skip
// and without comments.
func runs(items []item, stays, skip func(key string) bool) []run {
	var out []run
	var r run
	end := func(key string) {
		if len(r.at) > 0 {
			r.behind = key
			out = append(out, r)
		}
		r = run{before: key}
	}
	for i, it := range items {
		switch {
		case isComment(it):
		case stays(it.key):
			end(it.key)
		case !skip(it.key):
			r.at = append(r.at, i)
		}
	}
	end("")
	return out
}

// addsNextTo reports whether theirs has elements that base lacks next to one of
// the keys, or in its place.
func addsNextTo(base, theirs []item, unknown []string) bool {
	if len(unknown) == 0 {
		return false
	}
	o := byKey(base)
	was := keys(base)
	added := runs(theirs, func(key string) bool { return o[key] != nil }, func(string) bool { return false })
	for _, r := range added {
		from, to := slices.Index(was, r.before), len(was)
		if r.behind != "" {
			to = slices.Index(was, r.behind)
		}
		for _, key := range unknown {
			if at := slices.Index(was, key); at == from || at == to || from < at && at < to {
				return true
			}
		}
	}
	return false
}

package merge

import (
	"slices"
	"strings"
)

// An item is one element of a list in a source file: an import, a field, an
// entry of a mapping. Its strings are whole lines.
type item struct {
	key  string // what makes it the same element in another version
	gap  string // the blank lines before it: it starts a group, if there are any
	lead string // the comment right above it
	body string // the element, with a comment on its lines
	norm string // body without what only formats it
	rest string // what the element is besides its key, where that can be told
}

// A bodyMerge joins an item that both sides changed, or both added (base is nil
// then), and reports whether it could.
type bodyMerge func(base, ours, theirs *item) (string, bool)

// mergeItems merges three versions of a list element by element and reports
// whether it could. Two additions at one place are no conflict here. The keys
// of each version are distinct.
//
// The order is theirs, unless only ours reordered what all three have. What a
// side added stays behind the element that it stood behind; what it added at the
// end stays at the end.
func mergeItems(base, ours, theirs []item, body bodyMerge) ([]item, bool) {
	o, a, b := byKey(base), byKey(ours), byKey(theirs)
	merged := make(map[string]item, len(a)+len(b))
	for _, side := range [][]item{ours, theirs} {
		for _, it := range side {
			if _, done := merged[it.key]; done {
				continue
			}
			m, keep, ok := mergeItem(o[it.key], a[it.key], b[it.key], body)
			if !ok {
				return nil, false
			}
			if keep {
				merged[it.key] = m
			}
		}
	}
	order, ok := mergeOrder(base, ours, theirs, merged)
	if !ok {
		return nil, false
	}
	var out []item
	gap := "" // stood before an element that is gone: the group stays apart
	for _, key := range order {
		it, ok := merged[key]
		if !ok {
			for _, gone := range []*item{a[key], b[key]} {
				if gone != nil && gap == "" {
					gap = gone.gap
				}
			}
			continue
		}
		if it.gap == "" {
			it.gap = gap
		}
		gap = ""
		out = append(out, it)
	}
	if len(out) > 0 {
		out[0].gap = ""
	}
	return out, true
}

// mergeItem merges one element; a nil one is absent.
func mergeItem(o, a, b *item, body bodyMerge) (m item, keep, ok bool) {
	switch {
	case a == nil && b == nil:
		return item{}, false, true
	case b == nil && o == nil:
		return *a, true, true
	case a == nil && o == nil:
		return *b, true, true
	case b == nil: // theirs removed it: fine unless ours changed it
		return item{}, false, a.norm == o.norm && (a.lead == o.lead || a.lead == "")
	case a == nil: // ours removed it
		return item{}, false, b.norm == o.norm
	}
	m = *b
	if o == nil {
		m.lead = a.lead
		if m.lead == "" {
			m.lead = b.lead
		}
		if a.norm != b.norm {
			m.body, ok = body(nil, a, b)
			return m, true, ok
		}
		return m, true, true
	}
	if a.gap != o.gap {
		m.gap = a.gap
	}
	if m.lead, ok = mergeString(o.lead, a.lead, b.lead); !ok {
		return m, true, false
	}
	switch {
	case a.norm == o.norm, a.norm == b.norm:
	case b.norm == o.norm:
		m.body = a.body
	default:
		m.body, ok = body(o, a, b)
	}
	return m, true, ok
}

func mergeString(o, a, b string) (string, bool) {
	r := Merge(Text, []byte(o), []byte(a), []byte(b), Labels{})
	return string(r.Data), r.Clean()
}

// mergeOrder returns an order of all keys of both sides, and false if both
// reordered what all three have. It moves the blank lines of a group in merged
// when an element comes to stand at the group's start.
func mergeOrder(base, ours, theirs []item, merged map[string]item) ([]string, bool) {
	o, a, b := byKey(base), byKey(ours), byKey(theirs)
	inAll := func(key string) bool { return o[key] != nil && a[key] != nil && b[key] != nil }
	was, mine, next := only(keys(base), inAll), only(keys(ours), inAll), only(keys(theirs), inAll)
	switch {
	case slices.Equal(mine, was), slices.Equal(mine, next):
		return weave(theirs, ours, merged), true
	case slices.Equal(next, was):
		return weave(ours, theirs, merged), true
	default:
		return nil, false
	}
}

// weave returns the keys of order with those of side that it lacks: each behind
// the one that it stands behind in side, but at the end if it is after all of
// order there, and with its group if it starts one.
func weave(order, side []item, merged map[string]item) []string {
	out := keys(order)
	has := byKey(order)
	last := -1 // of side's elements that order has
	for i, it := range side {
		if has[it.key] != nil {
			last = i
		}
	}
	at := 0
	for i, it := range side {
		if has[it.key] != nil {
			at = slices.Index(out, it.key) + 1
			continue
		}
		if i > last {
			at = len(out)
		} else if next := groupmate(side[i:], has); next != nil {
			at = slices.Index(out, next.key)
			joinGroup(merged, it.key, next)
		}
		out = slices.Insert(out, at, it.key)
		at++
	}
	return out
}

// groupmate returns the first element that has a counterpart in the group that
// starts with group's first element, or nil if no group starts there.
func groupmate(group []item, has map[string]*item) *item {
	if group[0].gap == "" {
		return nil
	}
	for _, it := range group[1:] {
		if it.gap != "" {
			return nil
		}
		if has[it.key] != nil {
			return has[it.key]
		}
	}
	return nil
}

// joinGroup lets the element of a key stand before next as if it had always
// been in its group.
func joinGroup(merged map[string]item, key string, next *item) {
	first, ok := merged[key]
	if !ok {
		return
	}
	first.gap = next.gap
	merged[key] = first
	if second, ok := merged[next.key]; ok {
		second.gap = ""
		merged[next.key] = second
	}
}

func only(keys []string, keep func(string) bool) []string {
	var out []string
	for _, key := range keys {
		if keep(key) {
			out = append(out, key)
		}
	}
	return out
}

func keys(items []item) []string {
	out := make([]string, len(items))
	for i, it := range items {
		out[i] = it.key
	}
	return out
}

func byKey(items []item) map[string]*item {
	m := make(map[string]*item, len(items))
	for i := range items {
		m[items[i].key] = &items[i]
	}
	return m
}

// distinct reports whether no key occurs twice.
func distinct(items []item) bool { return len(byKey(items)) == len(items) }

// write puts the items back into lines.
func write(items []item) string {
	var b strings.Builder
	for _, it := range items {
		b.WriteString(it.gap)
		b.WriteString(it.lead)
		b.WriteString(it.body)
	}
	return b.String()
}

package merge

import (
	"slices"
	"strings"
)

// mergeImports merges three versions of a file's imports and reports whether it
// could. Order and blank lines are those of ours: how imports are grouped is
// the owner's taste, and no grouping changes what the file means. What theirs
// adds goes, sorted by path, into the group of ours that holds its nearest
// relative. Without one it opens a group at the end, together with what theirs
// has in one group with it.
func mergeImports(base, ours, theirs []item) ([]item, bool) {
	o, a, b := byKey(base), byKey(ours), byKey(theirs)
	var out []item
	gone := map[string]bool{}
	for _, it := range ours {
		m, keep, ok := mergeItem(o[it.key], &it, b[it.key], noMerge)
		if !ok {
			return nil, false
		}
		if !keep { // it still tells where its relatives belong
			gone[it.key] = true
			m = it
		}
		m.gap = it.gap
		out = append(out, m)
	}
	opened := -1 // where the group at the end starts that this group of theirs has opened
	for _, it := range theirs {
		if it.gap != "" {
			opened = -1
		}
		if a[it.key] != nil {
			continue
		}
		m, keep, ok := mergeItem(o[it.key], nil, &it, noMerge)
		if !ok {
			return nil, false
		}
		if !keep {
			continue
		}
		start := relatives(out, it)
		if start < 0 {
			start = opened
		}
		if start < 0 {
			opened = len(out)
			m.gap = "\n"
			out = append(out, m)
			continue
		}
		if start < opened {
			opened++
		}
		out = insertSorted(out, start, m)
	}
	return without(out, gone), true
}

// relatives returns where the group starts that holds the nearest relative of
// an import, or -1.
func relatives(imports []item, of item) int {
	best, found, start := 0, -1, 0
	for i, it := range imports {
		if it.gap != "" {
			start = i
		}
		if k := kinship(importPath(it), importPath(of)); k > best {
			best, found = k, start
		}
	}
	return found
}

// kinship says how near two import paths are to each other: by the elements
// that they share from the start, and 0 for none. Packages of the standard
// library are all related. A host alone relates nobody: github.com is no one's
// family.
func kinship(x, y string) int {
	if x == "" || y == "" || isStd(x) != isStd(y) {
		return 0
	}
	xs, ys := strings.Split(x, "/"), strings.Split(y, "/")
	n := 0
	for n < min(len(xs), len(ys)) && xs[n] == ys[n] {
		n++
	}
	switch {
	case isStd(x):
		return n + 1
	case n == 1 && strings.Contains(xs[0], "."):
		return 0
	default:
		return n
	}
}

// isStd reports whether a path is one of the standard library's: its first
// element has no dot. A module may be named so, too, but what it imports of
// itself is mostly internal, and no other module may import what is internal to
// the library.
func isStd(path string) bool {
	elems := strings.Split(path, "/")
	return !strings.Contains(elems[0], ".") && !slices.Contains(elems, "internal")
}

// importPath returns the path of an import, or "" for a comment that stands by
// itself.
func importPath(it item) string {
	if isComment(it) {
		return ""
	}
	_, path, _ := strings.Cut(strings.ReplaceAll(it.norm, "`", `"`), `"`)
	path, _, _ = strings.Cut(path, `"`)
	return path
}

// insertSorted puts an import into the group that starts at start.
func insertSorted(imports []item, start int, it item) []item {
	it.gap = ""
	at := start
	for at < len(imports) && (at == start || imports[at].gap == "") && importPath(imports[at]) <= importPath(it) {
		at++
	}
	if at == start {
		it.gap, imports[at].gap = imports[at].gap, ""
	}
	return slices.Insert(imports, at, it)
}

// without drops items. The blank lines before a group's first stay before the
// rest of the group.
func without(items []item, gone map[string]bool) []item {
	var out []item
	gap := ""
	for _, it := range items {
		if it.gap == "" {
			it.gap = gap
		}
		gap = ""
		if gone[it.key] {
			gap = it.gap
			continue
		}
		out = append(out, it)
	}
	if len(out) > 0 {
		out[0].gap = ""
	}
	return out
}

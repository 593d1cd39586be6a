package merge

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// mergeGoSum merges a go.sum as a set of lines, in the go command's order.
//
// A line that theirs dropped stays if ours has lines that base has not: the
// modules which the owner added may lead to it, a missing line breaks the build
// and a line too many does not. A module with two different hashes is a
// conflict.
func mergeGoSum(base, ours, theirs []byte, labels Labels) Result {
	byLines := newMerge3(base, ours, theirs)
	var sets [3]map[string]sum
	for i, data := range [][]byte{base, ours, theirs} {
		set, ok := parseSums(data)
		if !ok {
			return byLines.render(labels)
		}
		sets[i] = set
	}
	o, a, b := sets[0], sets[1], sets[2]
	own := false
	for line := range a {
		own = own || !has(o, line)
	}
	var merged []sum
	kept := 0
	for line, s := range a {
		switch {
		case has(b, line) || !has(o, line):
			merged = append(merged, s)
		case own:
			merged = append(merged, s)
			kept++
		}
	}
	for line, s := range b {
		if !has(a, line) && !has(o, line) {
			merged = append(merged, s)
		}
	}
	data, twice := writeSums(merged)
	if twice != "" {
		return byLines.renderAll(labels, Checksum, "the sides disagree on the hash of "+twice)
	}
	r := Result{Data: data}
	if kept > 0 {
		r.Notes = []string{fmt.Sprintf("%d lines are kept that the service no longer needs, because your own requirements may: 'go mod tidy' drops the others", kept)}
	}
	return r
}

// A sum is a line of a go.sum.
type sum struct {
	mod  module.Version // the version may end in "/go.mod"
	hash string
}

func parseSums(data []byte) (map[string]sum, bool) {
	set := map[string]sum{}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) == 0 && !strings.Contains(line, "\r") {
			continue
		}
		if len(f) != 3 || strings.Join(f, " ")+"\n" != line {
			return nil, false
		}
		set[line] = sum{module.Version{Path: f[0], Version: f[1]}, f[2]}
	}
	return set, true
}

func has(set map[string]sum, line string) bool {
	_, ok := set[line]
	return ok
}

// writeSums returns the sorted lines, and the module that has two hashes of one
// kind, if one does.
func writeSums(sums []sum) (data []byte, twice string) {
	hashes := map[module.Version][]string{}
	var mods []module.Version
	for _, s := range sums {
		if hashes[s.mod] == nil {
			mods = append(mods, s.mod)
		}
		for _, h := range hashes[s.mod] {
			kind, _, _ := strings.Cut(h, ":")
			if strings.HasPrefix(s.hash, kind+":") {
				twice = max(twice, s.mod.String())
			}
		}
		hashes[s.mod] = append(hashes[s.mod], s.hash)
	}
	module.Sort(mods)
	for _, m := range mods {
		slices.Sort(hashes[m])
		for _, h := range hashes[m] {
			data = fmt.Appendf(data, "%s %s %s\n", m.Path, m.Version, h)
		}
	}
	return data, twice
}

package gomod

import (
	"go/version"
)

// A graph is the part of the universe's module graph that a set of roots
// reaches under graph pruning. Indexes are those of Universe.Modules, where the
// versions of one path stand side by side in rising order: of two versions of a
// path the higher index is the higher version.
type graph struct {
	// loaded are the modules whose go.mod is read.
	loaded []bool
	// selected is, at the index of a path's lowest version, the highest
	// version that is mentioned, or none.
	selected []int32
	// goLine is the highest go line of the loaded go.mod files that is at
	// least 1.21, or "".
	goLine string
}

const none int32 = -1

// paths returns, for each module, the index of the lowest version of its path,
// which stands for the path.
func (u *Universe) paths() []int32 {
	first := make([]int32, len(u.Modules))
	for i := 1; i < len(u.Modules); i++ {
		if u.Modules[i].Path == u.Modules[i-1].Path {
			first[i] = first[i-1]
		} else {
			first[i] = int32(i)
		}
	}
	return first
}

// load reads the graph of roots as cmd/go's readModGraph does: below a root
// whose go line is at least 1.17 the requirements are known but not followed;
// below an older one all is followed, however new.
//
// A requirement that the universe knows but never loads can't be followed; it
// lies below a pruned module in every graph.
func (u *Universe) load(roots, first []int32) *graph {
	g := &graph{loaded: make([]bool, len(u.Modules)), selected: make([]int32, len(u.Modules))}
	for i := range g.selected {
		g.selected[i] = none
	}
	followed := make([]bool, len(u.Modules))
	var follow []int32
	mention := func(m int32) { g.selected[first[m]] = max(g.selected[first[m]], m) }
	read := func(m int32) {
		if g.loaded[m] {
			return
		}
		g.loaded[m] = true
		mod := &u.Modules[m]
		if version.Compare("go"+mod.Go, "go1.21") >= 0 && version.Compare("go"+mod.Go, "go"+g.goLine) > 0 {
			g.goLine = mod.Go
		}
		for _, r := range mod.Requires {
			mention(r)
		}
	}
	for _, m := range roots {
		mention(m)
		read(m)
		if mod := &u.Modules[m]; version.Compare("go"+mod.Go, "go1.17") < 0 {
			follow = append(follow, mod.Requires...)
		}
	}
	for len(follow) > 0 {
		m := follow[len(follow)-1]
		follow = follow[:len(follow)-1]
		if followed[m] {
			continue
		}
		followed[m] = true
		read(m)
		follow = append(follow, u.Modules[m].Requires...)
	}
	return g
}

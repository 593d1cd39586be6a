package bill

import (
	"context"
	"go/version"
	"maps"
	"slices"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// A graph is the module graph of some roots, as far as pruning lets one see.
type graph struct {
	loaded    map[module.Version]*goModFile
	mentioned map[module.Version]bool
	selected  map[string]string // path to version
	goLine    string            // the highest go line that is at least 1.21
}

// loadGraph reads the graph of roots (path to version). The go command is asked
// for it first, so that all go.mod files stand verified in the module cache.
func (b *builder) loadGraph(ctx context.Context, roots map[string]string) (*graph, error) {
	var requires []*modfile.Require
	for _, path := range slices.Sorted(maps.Keys(roots)) {
		requires = append(requires, &modfile.Require{Mod: module.Version{Path: path, Version: roots[path]}})
	}
	if err := b.writeGoMod(requires); err != nil {
		return nil, err
	}
	if _, err := goCommand(ctx, b.tmp, "mod", "graph"); err != nil {
		return nil, err
	}
	g := &graph{
		loaded:    map[module.Version]*goModFile{},
		mentioned: map[module.Version]bool{},
		selected:  map[string]string{},
	}
	type node struct {
		m        module.Version
		unpruned bool
	}
	var queue []node
	for _, r := range requires {
		queue = append(queue, node{r.Mod, false})
	}
	seen := map[node]bool{}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		if seen[n] {
			continue
		}
		seen[n] = true
		f, err := b.goMod(n.m)
		if err != nil {
			return nil, err
		}
		g.add(n.m, f)
		if n.unpruned || version.Compare("go"+f.goLine, "go1.17") < 0 {
			for _, r := range f.requires {
				queue = append(queue, node{r, true})
			}
		}
	}
	return g, nil
}

// add reads one go.mod into the graph.
func (g *graph) add(m module.Version, f *goModFile) {
	g.mention(m)
	g.loaded[m] = f
	if version.Compare("go"+f.goLine, "go1.21") >= 0 && version.Compare("go"+f.goLine, "go"+g.goLine) > 0 {
		g.goLine = f.goLine
	}
	for _, r := range f.requires {
		g.mention(r)
	}
}

func (g *graph) mention(m module.Version) {
	g.mentioned[m] = true
	if semver.Compare(m.Version, g.selected[m.Path]) > 0 {
		g.selected[m.Path] = m.Version
	}
}

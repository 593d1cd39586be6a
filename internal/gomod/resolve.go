package gomod

import (
	"bytes"
	"fmt"
	"go/version"
	"path"
	"slices"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// Resolve returns the go.mod and go.sum of a service of this module path and
// these files, from the embedded universe. See [Universe.Resolve].
func Resolve(modulePath string, files tree.Tree, tools ...string) (gomod, gosum []byte, err error) {
	u, err := Embedded()
	if err != nil {
		return nil, nil, err
	}
	return u.Resolve(modulePath, files, tools...)
}

// Resolve returns the go.mod and go.sum that `go mod tidy` would leave in a
// service of this module path and these files, with the versions of the bill of
// materials. Of files, the Go files count and the places of go.mod files below
// the root; a go.mod or go.sum at the root is not read. The packages in tools
// get a tool directive.
//
// The error is an [*UnknownImportError] if a file imports what is not in the
// universe, and an [*AmbiguousImportError] if modulePath clashes with a
// dependency's packages.
//
// It follows tidyPrunedRoots and keepSums of cmd/go/internal/modload (Go 1.26)
// for go lines of at least 1.21, and relies on a property of the universe: no
// selection's graph mentions a version above the bill's.
func (u *Universe) Resolve(modulePath string, files tree.Tree, tools ...string) (gomod, gosum []byte, err error) {
	r, err := u.resolution(modulePath, files, tools)
	if err != nil {
		return nil, nil, err
	}
	r.promoteTests()
	r.disambiguate()
	gomod, err = r.goMod(modulePath, tools)
	if err != nil {
		return nil, nil, err
	}
	gosum, err = r.goSum(modulePath)
	return gomod, gosum, err
}

// A resolution is the state of one Resolve.
type resolution struct {
	*Universe
	first []int32 // Universe.paths

	// generations[0] is "all", the closure of what the service and its tests
	// import; [1] is what the tests of those import; each later one is what
	// the one before imports. A package is in the first that reaches it.
	generations [][]int32
	reached     []bool

	roots  []int32
	isRoot []bool // by the path's lowest version
	direct []bool // by the path's lowest version
	graph  *graph
}

func (u *Universe) resolution(modulePath string, files tree.Tree, tools []string) (*resolution, error) {
	if err := module.CheckImportPath(modulePath); err != nil {
		return nil, fmt.Errorf("module path: %w", err)
	}
	foreign, ownDirs, err := walk(modulePath, files)
	if err != nil {
		return nil, err
	}
	r := &resolution{
		Universe: u,
		first:    u.paths(),
		reached:  make([]bool, len(u.Packages)),
		isRoot:   make([]bool, len(u.Modules)),
		direct:   make([]bool, len(u.Modules)),
	}
	var all []int32
	for imp := range foreign {
		if u.IsStd(imp) {
			continue
		}
		p, ok := u.Package(imp)
		if !ok {
			return nil, r.unknown(foreign)
		}
		all = r.reach(all, p)
		r.direct[r.first[u.Packages[p].Module]] = true
	}
	for _, tool := range tools {
		if dir, ok := below(modulePath, tool); ok && ownDirs[dir] {
			continue
		}
		p, ok := u.Package(tool)
		if !ok {
			return nil, &UnknownImportError{File: "go.mod", Path: tool}
		}
		all = r.reach(all, p)
	}
	for i := 0; i < len(all); i++ {
		for _, p := range u.Packages[all[i]].Imports {
			all = r.reach(all, p)
		}
	}
	r.generations = [][]int32{all}
	for _, p := range all {
		r.promote(u.Packages[p].Module)
	}
	r.reload()
	r.reachTests()
	return r, r.clash(modulePath, ownDirs)
}

// unknown returns the error for the first unknown import, by path.
func (r *resolution) unknown(foreign map[string]string) error {
	var e *UnknownImportError
	for imp, file := range foreign {
		if _, ok := r.Package(imp); ok || r.IsStd(imp) {
			continue
		}
		if e == nil || imp < e.Path {
			e = &UnknownImportError{File: file, Path: imp}
		}
	}
	return e
}

func (r *resolution) reach(list []int32, p int32) []int32 {
	if r.reached[p] {
		return list
	}
	r.reached[p] = true
	return append(list, p)
}

// reachTests adds the generations beyond "all": what the tests of packages in
// "all" import, then what that imports, and so on. Tests of packages further
// out don't matter to anyone.
func (r *resolution) reachTests() {
	var next []int32
	for _, p := range r.generations[0] {
		for _, t := range r.Packages[p].TestImports {
			next = r.reach(next, t)
		}
	}
	for len(next) > 0 {
		r.generations = append(r.generations, next)
		next = nil
		for _, p := range r.generations[len(r.generations)-1] {
			for _, i := range r.Packages[p].Imports {
				next = r.reach(next, i)
			}
		}
	}
}

// clash reports a package that the service and a dependency both have, and a
// dependency that has the service's own module path.
func (r *resolution) clash(modulePath string, ownDirs map[string]bool) error {
	for _, generation := range r.generations {
		for _, p := range generation {
			pkg := &r.Packages[p]
			dir, inside := below(modulePath, pkg.Path)
			if !inside {
				continue
			}
			if m := r.Modules[pkg.Module]; ownDirs[dir] || m.Path == modulePath {
				return &AmbiguousImportError{Path: pkg.Path, Module: m.Path}
			}
		}
	}
	return nil
}

func (r *resolution) promote(m int32) {
	if path := r.first[m]; !r.isRoot[path] {
		r.isRoot[path] = true
		r.roots = append(r.roots, m)
	}
}

func (r *resolution) reload() { r.graph = r.load(r.roots, r.first) }

// promoteTests makes a root of each module that only tests of dependencies need
// and whose version the graph would otherwise miss or select too low, one
// generation of imports at a time: a root promoted for a package close by often
// brings what the ones further out need.
func (r *resolution) promoteTests() {
	for _, generation := range r.generations[1:] {
		known := len(r.roots)
		for _, p := range generation {
			m := r.Packages[p].Module
			if r.graph.selected[r.first[m]] < m {
				r.promote(m)
			}
		}
		if len(r.roots) > known {
			r.reload()
		}
	}
}

// disambiguate makes a root of each module that shares a package's path with
// another selected module, since roots are searched first.
func (r *resolution) disambiguate() {
	for {
		known := len(r.roots)
		for _, generation := range r.generations {
			for _, p := range generation {
				pkg := &r.Packages[p]
				if r.isRoot[r.first[pkg.Module]] {
					continue
				}
				for _, m := range pkg.Also {
					if r.graph.selected[r.first[m]] == m {
						r.promote(pkg.Module)
					}
				}
			}
		}
		if len(r.roots) == known {
			return
		}
		r.reload()
	}
}

func (r *resolution) goMod(modulePath string, tools []string) ([]byte, error) {
	goLine := r.Go
	if version.Compare("go"+r.graph.goLine, "go"+goLine) > 0 {
		goLine = r.graph.goLine
	}
	f := new(modfile.File)
	if err := f.AddModuleStmt(modulePath); err != nil {
		return nil, fmt.Errorf("go.mod: %w", err)
	}
	if err := f.AddGoStmt(goLine); err != nil {
		return nil, fmt.Errorf("go.mod: %w", err)
	}
	for _, tool := range tools {
		if err := f.AddTool(tool); err != nil {
			return nil, fmt.Errorf("go.mod: %w", err)
		}
	}
	slices.Sort(r.roots)
	requires := make([]*modfile.Require, len(r.roots))
	for i, m := range r.roots {
		mod := &r.Modules[m]
		requires[i] = &modfile.Require{
			Mod:      module.Version{Path: mod.Path, Version: mod.Version},
			Indirect: !r.direct[r.first[m]],
		}
	}
	f.SetRequireSeparateIndirect(requires)
	f.Cleanup()
	return f.Format()
}

// goSum returns the lines that the go command needs to verify the go.mod files
// of the graph and the modules in which it looks for packages.
//
// Where a module of the service's own path is required below, the service
// itself is what is selected, and needs no sum.
func (r *resolution) goSum(modulePath string) ([]byte, error) {
	goMods := slices.Clone(r.graph.loaded)
	zips := make([]bool, len(r.Modules))
	byPath := make(map[string]int32, len(r.Modules)) // to the lowest version
	for i, first := range r.first {
		if int(first) == i && r.Modules[i].Path != modulePath {
			byPath[r.Modules[i].Path] = first
		}
	}
	for _, generation := range r.generations {
		for _, p := range generation {
			pkg := &r.Packages[p]
			goMods[pkg.Module] = true
			fromRoot := r.isRoot[r.first[pkg.Module]]
			for prefix := pkg.Path; prefix != "."; prefix = path.Dir(prefix) {
				first, ok := byPath[prefix]
				if !ok || fromRoot && !r.isRoot[first] {
					continue
				}
				if m := r.graph.selected[first]; m != none {
					zips[m] = true
				}
			}
		}
	}
	var b bytes.Buffer
	for i := range r.Modules {
		m := &r.Modules[i]
		if zips[i] && m.ZipSum == "" || goMods[i] && m.GoModSum == "" {
			return nil, fmt.Errorf("go.sum: no hash of %s@%s is known: run `go mod tidy` in the service", m.Path, m.Version)
		}
		if zips[i] {
			b.WriteString(m.Path + " " + m.Version + " " + m.ZipSum + "\n")
		}
		if goMods[i] {
			b.WriteString(m.Path + " " + m.Version + "/go.mod " + m.GoModSum + "\n")
		}
	}
	return b.Bytes(), nil
}

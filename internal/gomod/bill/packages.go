package bill

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
)

// A pkg is a package outside the standard library.
type pkg struct {
	path        string
	mod         module.Version
	imports     []string
	testImports []string // only if it is in "all"
	inAll       bool
}

// A source is what one directory of the module cache imports, standard library
// left out.
type source struct {
	hasGo                bool
	imports, testImports []string
}

// loadPackages follows imports as `go mod tidy` does: the closure of imports,
// which is "all", the tests of what is in it, and the closure of those.
func (b *builder) loadPackages(ctx context.Context, roots map[string]string, g *graph, imports []string) (map[string]*pkg, error) {
	var mods []module.Version
	for p, v := range roots {
		mods = append(mods, module.Version{Path: p, Version: v})
	}
	if err := b.fetch(ctx, mods...); err != nil {
		return nil, err
	}
	pkgs := map[string]*pkg{}
	all, err := b.closure(ctx, roots, g, pkgs, imports)
	if err != nil {
		return nil, err
	}
	var tests []string
	for _, p := range all {
		p.inAll = true
		src, err := b.source(b.dir(p.mod, p.path))
		if err != nil {
			return nil, err
		}
		p.testImports = src.testImports
		tests = append(tests, src.testImports...)
	}
	_, err = b.closure(ctx, roots, g, pkgs, tests)
	return pkgs, err
}

// closure adds to pkgs what the import paths in list reach and returns what was
// not there before.
func (b *builder) closure(ctx context.Context, roots map[string]string, g *graph, pkgs map[string]*pkg, list []string) (added []*pkg, err error) {
	queue := slices.Clone(list)
	for len(queue) > 0 {
		imp := queue[0]
		queue = queue[1:]
		if pkgs[imp] != nil {
			continue
		}
		m, err := b.provider(ctx, roots, g, imp)
		if err != nil {
			return nil, err
		}
		src, err := b.source(b.dir(m, imp))
		if err != nil {
			return nil, err
		}
		p := &pkg{path: imp, mod: m, imports: src.imports}
		pkgs[imp] = p
		added = append(added, p)
		queue = append(queue, src.imports...)
	}
	return added, nil
}

// provider finds the module of an import: among the roots if one has it, else
// in the graph.
func (b *builder) provider(ctx context.Context, roots map[string]string, g *graph, imp string) (module.Version, error) {
	for _, versions := range []map[string]string{roots, g.selected} {
		found, err := b.candidates(ctx, versions, imp)
		switch {
		case err != nil:
			return module.Version{}, err
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return module.Version{}, fmt.Errorf("import %s is ambiguous: %v", imp, found)
		}
	}
	return module.Version{}, fmt.Errorf("import %s: no module of the bill provides it: go get it first", imp)
}

// candidates returns the modules among versions that contain a package.
func (b *builder) candidates(ctx context.Context, versions map[string]string, imp string) (found []module.Version, err error) {
	for prefix := imp; prefix != "."; prefix = path.Dir(prefix) {
		v, ok := versions[prefix]
		if !ok {
			continue
		}
		m := module.Version{Path: prefix, Version: v}
		if ok, err = b.contains(ctx, m, imp); err != nil {
			return nil, err
		} else if ok {
			found = append(found, m)
		}
	}
	return found, nil
}

// contains reports whether a module has Go files in the directory of a package.
func (b *builder) contains(ctx context.Context, m module.Version, imp string) (bool, error) {
	if err := b.fetch(ctx, m); err != nil {
		return false, err
	}
	src, err := b.source(b.dir(m, imp))
	return err == nil && src.hasGo, err
}

// dir returns the directory of a package in a module that was fetched.
func (b *builder) dir(m module.Version, imp string) string {
	rel := strings.TrimPrefix(strings.TrimPrefix(imp, m.Path), "/")
	return filepath.Join(b.dirs[m].Dir, filepath.FromSlash(rel))
}

// source scans a directory once. A directory that isn't there has no Go files.
func (b *builder) source(dir string) (*source, error) {
	if s, ok := b.scan[dir]; ok {
		return s, nil
	}
	s := &source{}
	b.scan[dir] = s
	entries, err := os.ReadDir(dir)
	if err != nil {
		return s, nil // cmd/go takes it for a directory without Go files too
	}
	imports, testImports := map[string]bool{}, map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		if !e.Type().IsRegular() || !strings.HasSuffix(name, ".go") {
			continue
		}
		s.hasGo = true
		if name[0] == '_' || name[0] == '.' {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, name)) //nolint:gosec // in the module cache
		if err != nil {
			return nil, err
		}
		paths, counts, _ := gomod.FileImports(name, data) // cmd/go overlooks syntax errors of dependencies
		if !counts {
			continue
		}
		into := imports
		if strings.HasSuffix(name, "_test.go") {
			into = testImports
		}
		for _, p := range paths {
			if !b.isStd(p) {
				into[p] = true
			}
		}
	}
	s.imports, s.testImports = slices.Sorted(maps.Keys(imports)), slices.Sorted(maps.Keys(testImports))
	return s, nil
}

// isStd reports whether an import is the standard library's, its internal
// packages included, which the list leaves out.
func (b *builder) isStd(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}

// stdPackages lists what a service can import of the standard library below
// src, on any platform, sorted.
func stdPackages(src string) ([]string, error) {
	var list []string
	err := filepath.WalkDir(src, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch base := d.Name(); {
			case file == src:
			case base == "internal", base == "vendor", base == "testdata", base == "cmd", base == "builtin",
				base[0] == '_', base[0] == '.':
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(src, filepath.Dir(file))
		if err != nil {
			return err
		}
		if strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") && rel != "." {
			list = append(list, filepath.ToSlash(rel))
		}
		return nil
	})
	slices.Sort(list)
	return slices.Compact(list), err
}

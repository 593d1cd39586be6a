package bill

import (
	"context"
	"maps"

	"path"
	"slices"

	"golang.org/x/mod/module"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
)

// universe puts together what was loaded. Of the modules that are mentioned but
// never loaded, it keeps those whose path could matter to a package.
func (b *builder) universe(ctx context.Context, g *graph, pkgs map[string]*pkg) (*gomod.Universe, error) {
	prefixes := map[string]bool{}
	for imp := range pkgs {
		for prefix := imp; prefix != "."; prefix = path.Dir(prefix) {
			prefixes[prefix] = true
		}
	}
	keep := map[module.Version]bool{}
	for m := range g.mentioned {
		keep[m] = g.loaded[m] != nil || prefixes[m.Path]
	}
	maps.DeleteFunc(keep, func(_ module.Version, ok bool) bool { return !ok })
	mods := sortedVersions(keep)
	modIndex := map[module.Version]int32{}
	for i, m := range mods {
		modIndex[m] = int32(i)
	}
	paths := slices.Sorted(maps.Keys(pkgs))
	pkgIndex := map[string]int32{}
	for i, p := range paths {
		pkgIndex[p] = int32(i)
	}

	u := &gomod.Universe{Go: b.bill.Go.Version, Std: b.std}
	for _, m := range mods {
		mod := gomod.Module{Path: m.Path, Version: m.Version}
		if f := g.loaded[m]; f != nil {
			mod.Loaded, mod.Go, mod.GoModSum = true, f.goLine, f.sum
			for _, r := range f.requires {
				if i, ok := modIndex[r]; ok {
					mod.Requires = append(mod.Requires, i)
				}
			}
		}
		u.Modules = append(u.Modules, mod)
	}
	rivals, err := b.rivals(ctx, mods, pkgs)
	if err != nil {
		return nil, err
	}
	for _, name := range paths {
		p := pkgs[name]
		out := gomod.Package{Path: name, Module: modIndex[p.mod]}
		out.Imports = lookUp(pkgIndex, p.imports)
		out.TestImports = lookUp(pkgIndex, p.testImports)
		for _, m := range rivals[name] {
			out.Also = append(out.Also, modIndex[m])
		}
		u.Packages = append(u.Packages, out)
	}
	for i := range u.Modules {
		m := module.Version{Path: u.Modules[i].Path, Version: u.Modules[i].Version}
		u.Modules[i].ZipSum = b.dirs[m].Sum
	}
	return u, nil
}

func lookUp(index map[string]int32, names []string) []int32 {
	var list []int32
	for _, n := range names {
		list = append(list, index[n])
	}
	return list
}

// rivals returns, by package, the modules that contain it beside the one that
// provides it. It fetches all modules in which the go command could look for a
// package, because go.sum has their hashes, found there or not.
func (b *builder) rivals(ctx context.Context, mods []module.Version, pkgs map[string]*pkg) (map[string][]module.Version, error) {
	byPath := map[string][]module.Version{}
	for _, m := range mods {
		byPath[m.Path] = append(byPath[m.Path], m)
	}
	need := map[module.Version]bool{}
	for imp, p := range pkgs {
		need[p.mod] = true
		for prefix := imp; prefix != "."; prefix = path.Dir(prefix) {
			if prefix == p.mod.Path {
				continue
			}
			for _, m := range byPath[prefix] {
				need[m] = true
			}
		}
	}
	if err := b.fetch(ctx, sortedVersions(need)...); err != nil {
		return nil, err
	}
	found := map[string][]module.Version{}
	for imp, p := range pkgs {
		for prefix := imp; prefix != "."; prefix = path.Dir(prefix) {
			if prefix == p.mod.Path {
				continue
			}
			for _, m := range byPath[prefix] {
				if ok, err := b.contains(ctx, m, imp); err != nil {
					return nil, err
				} else if ok {
					found[imp] = append(found[imp], m)
				}
			}
		}
	}
	return found, nil
}

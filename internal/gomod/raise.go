package gomod

import (
	"fmt"
	"slices"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// A Known is what is known of one version of a module without the network: its
// go.mod, and its sums as they stand in go.sum, each empty where it is not.
type Known struct {
	Mod            []byte
	ModSum, ZipSum string
}

// raise brings the requirements of mod to what they require of each other, until
// nothing changes, as far as the universe and cached know it: the go command takes
// no go.mod in which one stands below. It returns the sums of what was raised.
func (u *Universe) raise(mod *modfile.File, cached func(path, version string) Known) (raised map[string]string, sums []byte, err error) {
	own := make(map[module.Version]*Module)
	for i := range u.Modules {
		own[module.Version{Path: u.Modules[i].Path, Version: u.Modules[i].Version}] = &u.Modules[i]
	}
	roots := make(map[string]string)
	for _, r := range mod.Require {
		roots[r.Mod.Path] = r.Mod.Version
	}
	held := make(map[string]bool) // a replacement or an exclusion decides
	for _, r := range mod.Replace {
		held[r.Old.Path] = true
	}
	for _, e := range mod.Exclude {
		held[e.Mod.Path] = true
	}
	raised = make(map[string]string)
	queue := slices.Clone(mod.Require)
	for len(queue) > 0 {
		at := module.Version{Path: queue[0].Mod.Path, Version: roots[queue[0].Mod.Path]}
		queue = queue[1:]
		if held[at.Path] {
			continue
		}
		for _, q := range u.requirements(own[at], at, cached) {
			if was, ok := roots[q.Path]; ok && !held[q.Path] && semver.Compare(was, q.Version) < 0 {
				roots[q.Path], raised[q.Path] = q.Version, q.Version
				queue = append(queue, &modfile.Require{Mod: q})
			}
		}
	}
	for path, version := range raised {
		if err := mod.AddRequire(path, version); err != nil {
			return nil, nil, err
		}
		known := Known{}
		if m := own[module.Version{Path: path, Version: version}]; m != nil {
			known.ModSum, known.ZipSum = m.GoModSum, m.ZipSum
		}
		if known.ModSum == "" || known.ZipSum == "" {
			known = cached(path, version)
		}
		if known.ZipSum != "" {
			sums = fmt.Appendf(sums, "%s %s %s\n", path, version, known.ZipSum)
		}
		if known.ModSum != "" {
			sums = fmt.Appendf(sums, "%s %s/go.mod %s\n", path, version, known.ModSum)
		}
	}
	return raised, sums, nil
}

// requirements returns what a version of a module requires, as far as it is known:
// the universe has only what can matter to a service of its own.
func (u *Universe) requirements(own *Module, at module.Version, cached func(path, version string) Known) []module.Version {
	var list []module.Version
	if own != nil && own.Loaded {
		for _, i := range own.Requires {
			list = append(list, module.Version{Path: u.Modules[i].Path, Version: u.Modules[i].Version})
		}
	}
	mod, err := modfile.ParseLax("go.mod", cached(at.Path, at.Version).Mod, nil)
	if err != nil {
		return list // the go command reads it again, and says what is wrong with it
	}
	for _, r := range mod.Require {
		list = append(list, r.Mod)
	}
	return list
}

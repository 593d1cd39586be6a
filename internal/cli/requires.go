package cli

import (
	"maps"
	"path"
	"slices"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// bearing returns the base to plan with: what was last written, as far as the owner's
// requirements bear it.
func (d *draft) bearing() (tree.Tree, error) {
	base, err := d.owners()
	if err != nil {
		return nil, err
	}
	return d.restored(base)
}

// restored returns base without the requirements that the owner's go.mod lacks, and
// their sums, where files that come import one of them. Who took one side of a merge
// took these out without a thought of those files: so they come as if they were new.
func (d *draft) restored(base tree.Tree) (tree.Tree, error) {
	stands, ok := d.work[goMod]
	if _, written := base[goMod]; !ok || !written {
		return base, nil
	}
	has, _, err := gomod.Required(stands.Data)
	if err != nil {
		return base, nil //nolint:nilerr // is told elsewhere
	}
	was, _, err := gomod.Required(base[goMod].Data)
	if err != nil {
		return base, nil //nolint:nilerr // is told elsewhere
	}
	next, direct, err := gomod.Required(d.next[goMod].Data)
	if err != nil {
		return nil, err
	}
	lacks := func(m string) bool { return was[m] != "" && has[m] == "" }
	direct = slices.DeleteFunc(direct, func(m string) bool { return !lacks(m) })
	if come, err := d.comeWith(direct); err != nil || !come {
		return base, err
	}
	drop := slices.DeleteFunc(slices.Collect(maps.Keys(next)), func(m string) bool { return !lacks(m) })
	mod, err := gomod.Without(base[goMod].Data, drop)
	if err != nil {
		return nil, err
	}
	base = maps.Clone(base)
	base[goMod] = tree.File{Data: mod, Exec: base[goMod].Exec}
	base[goSum] = tree.File{Data: common(base[goSum].Data, d.work[goSum].Data), Exec: base[goSum].Exec}
	return base, nil
}

// comeWith reports whether a Go file that comes new imports a package of the modules.
func (d *draft) comeWith(modules []string) (bool, error) {
	if len(modules) == 0 {
		return false, nil
	}
	for p, f := range d.next {
		_, stands := d.work[p]
		if _, written := d.base[p]; stands || written || path.Ext(p) != ".go" {
			continue
		}
		imports, _, err := gomod.FileImports(p, f.Data)
		if err != nil {
			return false, err
		}
		for _, imp := range imports {
			if slices.ContainsFunc(modules, func(m string) bool { return within(imp, m) }) {
				return true, nil
			}
		}
	}
	return false, nil
}

package cli

import (
	"bytes"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
)

// noteKept tells what files that the owner kept, though they go, import of what
// goes with them.
func (a *app) noteKept(d *draft) {
	var kept []plan.Step
	for _, step := range d.plan.Steps {
		if _, stays := d.next[step.Path]; step.Decided == plan.Mine && !stays && step.Work != nil && path.Ext(step.Path) == ".go" {
			kept = append(kept, step)
		}
	}
	if len(kept) == 0 {
		return
	}
	required, _, err := gomod.Required(d.required())
	if err != nil {
		return // is told elsewhere
	}
	modules, dirs := slices.Collect(maps.Keys(required)), packages(d.next)
	for _, step := range kept {
		dirs[path.Dir(step.Path)] = true
	}
	for _, step := range kept {
		imports, _, _ := gomod.FileImports(step.Path, step.Work.Data) // what can be read of it
		lacks := slices.DeleteFunc(imports, func(imp string) bool {
			if below, own := strings.CutPrefix(imp, d.want.Module+"/"); own {
				return dirs[below]
			}
			first, _, _ := strings.Cut(imp, "/")
			return !strings.Contains(first, ".") || slices.ContainsFunc(modules, func(m string) bool { return within(imp, m) })
		})
		if len(lacks) > 0 {
			a.notef("%s: stays as you decided, and imports %s, which went: it does not build until you mend it", step.Path, few(lacks))
		}
	}
}

// required is go.mod as the change leaves it, or nil where there is none.
func (d *draft) required() []byte {
	step, ok := d.plan.Step(goMod)
	switch {
	case !ok:
		return d.next[goMod].Data
	case step.After == nil:
		return nil
	}
	return step.After.Data
}

// noteVendor tells that what is vendored lacks what go.mod requires now.
func (a *app) noteVendor(d *draft) {
	if step, ok := d.plan.Step(goMod); !ok || !step.Writes() {
		return
	}
	if _, err := os.Stat(filepath.Join(d.root, "vendor", "modules.txt")); err == nil {
		a.notef("vendor/ is of what go.mod required before: run `go mod vendor`")
	}
}

// noteUnrequired tells which requirements the service's go.mod lacks, though its
// files import them: the owner took them out, or took one side of a merge.
func (a *app) noteUnrequired(d *draft) {
	stands := d.required()
	if stands == nil || bytes.Equal(stands, d.next[goMod].Data) {
		return
	}
	has, _, err := gomod.Required(stands)
	if err != nil {
		return // is told elsewhere
	}
	_, needs, err := gomod.Required(d.next[goMod].Data)
	if err != nil {
		return
	}
	missing := slices.DeleteFunc(needs, func(m string) bool { _, ok := has[m]; return ok })
	if len(missing) > 0 {
		a.notef("go.mod: does not require %s, which the service's files import: run `go mod tidy`, unless you left those files out on purpose", few(missing))
	}
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/internal/typecheck"
)

// checkTypes makes a conflict of each Go file that both sides changed and whose
// merge is Go, but no longer type-checks with the rest of its package. Of other code
// that no longer type-checks with what changes, it notes that: no file is to be
// decided about.
func (a *app) checkTypes(ctx context.Context, d *draft) error {
	merged := goMerges(d.plan)
	var rest []typecheck.Problem
	var err error
	if d.plan, rest, err = a.doubt(ctx, d.root, d.plan, merged, touched(d, merged)); err != nil {
		return err
	}
	d.broken, d.left = nil, nil
	for _, problem := range rest {
		if step, ok := d.plan.Step(problem.File); ok && step.Decided == plan.Mine && step.Next == nil {
			d.left = append(d.left, problem.String())
		} else {
			d.broken = append(d.broken, problem.String())
		}
	}
	return nil
}

// doubt type-checks the folders as a plan leaves them. It returns the plan with a
// conflict for each merge that a problem may come from, and the problems that come
// from none. What was decided to be mended has none. Where it can't be found out
// that is said, and no failure.
func (a *app) doubt(ctx context.Context, root string, p plan.Plan, merged, dirs []string) (_ plan.Plan, rest []typecheck.Problem, err error) {
	if len(dirs) == 0 {
		return p, nil, nil
	}
	after := make(map[string]*tree.File)
	marked := make(map[string]bool) // folders with a file that is yet to be edited
	for _, step := range p.Changes() {
		after[step.Path] = step.After
		if step.Decided == plan.Markers && path.Ext(step.Path) == ".go" {
			marked[path.Dir(step.Path)] = true
		}
	}
	problems, err := a.typeCheck(ctx, root, dirs, after)
	var unavailable *typecheck.UnavailableError
	if errors.As(err, &unavailable) && len(merged) == 0 {
		return p, nil, nil
	}
	if errors.As(err, &unavailable) {
		a.notef("what was merged in %s was not type-checked (%s): run `go vet ./...` afterwards", strings.Join(merged, ", "), unavailable.Why)
		return p, nil, nil
	}
	for _, problem := range problems {
		near := blamed(merged, problem)
		for _, name := range near {
			p = p.Doubt(name, problem.String())
		}
		if len(near) == 0 && !marked[path.Dir(problem.File)] {
			rest = append(rest, problem)
		}
	}
	return p, rest, err
}

// The go command takes a second where it has compiled before what the packages
// import, and minutes where it has not: then it is said what is waited for, and
// not waited for long. What it has compiled until then it need not the next time.
const (
	typesSaid  = 2 * time.Second
	typesLimit = 30 * time.Second
)

func (a *app) typeCheck(ctx context.Context, root string, dirs []string, after map[string]*tree.File) ([]typecheck.Problem, error) {
	within, cancel := context.WithTimeout(ctx, typesLimit)
	defer cancel()
	if a.terminal(ctx) != nil { // a person waits
		said := time.AfterFunc(typesSaid, func() { a.notef("type-checking what was merged; the go command compiles what it needs first ...") })
		defer said.Stop()
	}
	problems, err := typecheck.Check(within, root, dirs, after)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		err = &typecheck.UnavailableError{Why: fmt.Sprintf("it took longer than %s", typesLimit)}
	}
	return problems, err
}

// touched are the folders of the merges, those in which the plan changes Go files
// beside some that the owner edited or wrote, and those of the owner's that import
// one from which files go, where these were looked for.
func touched(d *draft, merged []string) []string {
	dirs := make(map[string]bool)
	for _, p := range merged {
		dirs[path.Dir(p)] = true
	}
	changed, less := make(map[string]bool), make(map[string]bool)
	for _, step := range d.plan.Changes() {
		if path.Ext(step.Path) == ".go" {
			changed[path.Dir(step.Path)] = true
			less[path.Dir(step.Path)] = less[path.Dir(step.Path)] || step.After == nil
		}
	}
	for _, step := range d.plan.Steps {
		if path.Ext(step.Path) == ".go" && step.Action == plan.Keep && step.Work != nil && changed[path.Dir(step.Path)] {
			dirs[path.Dir(step.Path)] = true
		}
	}
	for dir := range changed {
		dirs[dir] = dirs[dir] || len(d.ownIn(dir)) > 0
	}
	for dir, importers := range d.importers {
		for _, importer := range importers {
			dirs[importer] = dirs[importer] || less[dir]
		}
	}
	maps.DeleteFunc(dirs, func(_ string, check bool) bool { return !check })
	return slices.Sorted(maps.Keys(dirs))
}

// ownIn returns the Go files of the owner's in a folder.
func (d *draft) ownIn(dir string) (names []string) {
	entries, err := os.ReadDir(filepath.Join(d.root, filepath.FromSlash(dir)))
	if err != nil {
		return nil // it is not there
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		_, written := d.base[name]
		_, comes := d.next[name]
		if path.Ext(name) == ".go" && e.Type().IsRegular() && !written && !comes {
			names = append(names, name)
		}
	}
	return names
}

// goMerges are the paths of the Go files that the plan merges by itself.
func goMerges(p plan.Plan) []string {
	var paths []string
	for _, step := range p.Steps {
		if step.Action == plan.Merge && step.Decided == "" && plan.KindOf(step.Path) == plan.KindOf("x.go") {
			paths = append(paths, step.Path)
		}
	}
	return paths
}

// blamed are the merges that a problem may come from: that of its own file, or
// else those in its package.
func blamed(merged []string, problem typecheck.Problem) []string {
	if slices.Contains(merged, problem.File) {
		return []string{problem.File}
	}
	return slices.DeleteFunc(slices.Clone(merged), func(p string) bool { return path.Dir(p) != path.Dir(problem.File) })
}

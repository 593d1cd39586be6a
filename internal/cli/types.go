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
// decided about. So it does of what comes to stand without a file that was deleted.
func (a *app) checkTypes(ctx context.Context, d *draft) error {
	merged := goMerges(d.plan)
	users, err := d.users()
	if err != nil {
		return err
	}
	dirs := touched(d.plan, merged, d.ownIn)
	maps.Copy(dirs, users)
	var rest []typecheck.Problem
	if d.plan, rest, err = a.doubt(ctx, d.root, d.plan, merged, dirs, d.ownIn); err != nil {
		return err
	}
	alone := bereft(d.plan)
	maps.DeleteFunc(alone, func(dir string, _ bool) bool { return dirs[dir] })
	_, gaps, err := a.doubt(ctx, d.root, d.plan, nil, alone, d.ownIn)
	if err != nil {
		return err
	}
	d.broken, d.left, d.gaps = nil, nil, nil
	for _, problem := range gaps {
		d.gaps = append(d.gaps, problem.String())
	}
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
func (a *app) doubt(ctx context.Context, root string, p plan.Plan, merged []string, dirs map[string]bool, ownIn func(dir string) []string) (_ plan.Plan, rest []typecheck.Problem, err error) {
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
	folders := slices.Sorted(maps.Keys(dirs))
	tags, unseen := typecheck.Tags(theirs(root, p, dirs, ownIn))
	problems, err := a.typeCheck(ctx, root, folders, after, append([]string{release}, tags...))
	var unavailable *typecheck.UnavailableError
	if errors.As(err, &unavailable) {
		a.notef("%s: not type-checked with what changes (%s): run `go vet ./...` afterwards", few(folders), unavailable.Why)
		err = nil
	}
	if len(unseen) > 0 {
		a.notef("not type-checked: %s", few(unseen))
	}
	var before []string
	for _, problem := range problems {
		if problem.Before {
			before = append(before, problem.String())
			continue
		}
		near := blamed(merged, problem)
		for _, name := range near {
			p = p.Doubt(name, problem.String())
		}
		if len(near) == 0 && !marked[path.Dir(problem.File)] {
			rest = append(rest, problem)
		}
	}
	if len(before) > 0 {
		a.notef("%s: did not type-check before, so that nothing is known of it with what changes: mend it, and run `go vet ./...`", few(before))
	}
	return p, rest, err
}

// The go command takes a second where it has compiled before what the packages
// import, and minutes where it has not: then it is said what is waited for, and
// not waited for long. What it has compiled until then it need not the next time.
//
// release is the build tag with which a service is made for production (see its
// Makefile), and of which its owner's code may speak.
const (
	release    = "production"
	typesSaid  = 2 * time.Second
	typesLimit = 3 * time.Minute
)

func (a *app) typeCheck(ctx context.Context, root string, dirs []string, after map[string]*tree.File, tags []string) ([]typecheck.Problem, error) {
	within, cancel := context.WithTimeout(ctx, typesLimit)
	defer cancel()
	if a.terminal(ctx) != nil { // a person waits
		said := time.AfterFunc(typesSaid, func() { a.notef("type-checking what changes; the go command compiles what it needs first ...") })
		defer said.Stop()
	}
	problems, err := typecheck.Check(within, root, dirs, after, tags...)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		err = &typecheck.UnavailableError{Why: fmt.Sprintf("it took longer than %s", typesLimit)}
	}
	return problems, err
}

// touched are the folders of the merges, and those in which the plan changes Go files
// beside some that the owner edited or wrote.
func touched(p plan.Plan, merged []string, ownIn func(dir string) []string) map[string]bool {
	dirs := make(map[string]bool)
	for _, name := range merged {
		dirs[path.Dir(name)] = true
	}
	changed := make(map[string]bool)
	for _, step := range p.Changes() {
		if path.Ext(step.Path) == ".go" {
			changed[path.Dir(step.Path)] = true
		}
	}
	for _, step := range p.Steps {
		if stays(step) && changed[path.Dir(step.Path)] {
			dirs[path.Dir(step.Path)] = true
		}
	}
	for dir := range changed {
		if len(ownIn(dir)) > 0 {
			dirs[dir] = true
		}
	}
	return dirs
}

// bereft are the folders in which the plan writes Go files without some that the owner
// deleted or moved away.
func bereft(p plan.Plan) map[string]bool {
	gone, dirs := make(map[string]bool), make(map[string]bool)
	for _, s := range p.Steps {
		if path.Ext(s.Path) == ".go" && s.Base != nil && s.Next != nil && s.After == nil {
			gone[path.Dir(s.Path)] = true
		}
	}
	for _, s := range p.Changes() {
		if dir := path.Dir(s.Path); path.Ext(s.Path) == ".go" && s.After != nil && gone[dir] {
			dirs[dir] = true
		}
	}
	return dirs
}

// theirs are the Go files in the folders that are not the templates' as the plan leaves
// them: merged, edited, or the owner's alone.
func theirs(root string, p plan.Plan, dirs map[string]bool, ownIn func(dir string) []string) map[string][]byte {
	files := make(map[string][]byte)
	for dir := range dirs {
		for _, name := range ownIn(dir) {
			// What can't be read the go command tells.
			files[name], _ = os.ReadFile(filepath.Join(root, filepath.FromSlash(name))) //nolint:gosec // a file of the repository
		}
	}
	for _, s := range p.Steps {
		if path.Ext(s.Path) != ".go" || !dirs[path.Dir(s.Path)] {
			continue
		}
		delete(files, s.Path) // a renamed one
		if s.After != nil && s.Action != plan.Create && s.Action != plan.Update {
			files[s.Path] = s.After.Data
		}
	}
	return files
}

// stays reports whether a Go file stays as the owner edited it.
func stays(s plan.Step) bool {
	return path.Ext(s.Path) == ".go" && s.Action == plan.Keep && s.Work != nil
}

// altered are the folders of packages that can be imported, and of which files change
// or go. What only comes new to a package breaks none that imports it.
func (d *draft) altered() (dirs []string) {
	for _, step := range d.plan.Changes() {
		dir := path.Dir(step.Path)
		if step.Work != nil && importable(step.Path) && dir != "cmd/"+d.want.Name && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// users are the folders with Go files that the owner wrote or edited, in packages that
// import what is altered, themselves or by others. Where nothing is, no file is read.
func (d *draft) users() (map[string]bool, error) {
	reached := d.altered()
	if len(reached) == 0 {
		return nil, nil
	}
	if d.importers == nil {
		if _, err := d.imports(); err != nil {
			return nil, err
		}
	}
	importers := maps.Clone(d.importers)
	for p, f := range d.next {
		if path.Ext(p) != ".go" {
			continue
		}
		for _, imp := range added(p, nil, f.Data) {
			if below, own := strings.CutPrefix(imp, d.want.Module+"/"); own {
				importers[below] = append(importers[below], path.Dir(p))
			}
		}
	}
	theirs := make(map[string]bool)
	for p := range d.own {
		theirs[path.Dir(p)] = true
	}
	for _, step := range d.plan.Steps {
		theirs[path.Dir(step.Path)] = theirs[path.Dir(step.Path)] || stays(step)
	}
	users := make(map[string]bool)
	for i := 0; i < len(reached); i++ {
		for _, dir := range importers[reached[i]] {
			if slices.Contains(reached, dir) {
				continue
			}
			reached = append(reached, dir)
			if theirs[dir] {
				users[dir] = true
			}
		}
	}
	return users, nil
}

// ownIn returns the Go files of the owner's in a folder.
func (d *draft) ownIn(dir string) []string { return ownIn(d.root, dir, d.base, d.next) }

// ownIn returns the Go files in a folder that are neither in base nor in next.
func ownIn(root, dir string, base, next tree.Tree) (names []string) {
	entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(dir)))
	if err != nil {
		return nil // it is not there
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		_, written := base[name]
		_, comes := next[name]
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

package cli

import (
	"context"
	"fmt"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/apply"
	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/render"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/internal/typecheck"
)

// A foreignOptions is what add can be told of a module that scaffold did not
// make.
type foreignOptions struct {
	prefix string
	wire   string
	tidy   bool
}

// defaultPrefix is one folder for all that is added, so that nothing of it can
// clash with the module's own packages, and so that it can be looked at, moved
// and deleted as one.
const defaultPrefix = "internal/patterns"

func (o *foreignOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.prefix, "prefix", defaultPrefix, "folder for the packages, in a module that scaffold did not make")
	f.StringVar(&o.wire, "wire", "", "FILE:FUNC or FILE:FUNC:VAR that builds the router, to put the wiring in, in such a module")
	f.BoolVar(&o.tidy, "tidy", false, "run `go mod tidy` afterwards, in such a module")
	completeFolders(cmd, "prefix")
}

// given returns the first of the flags that was given, or "".
func (o *foreignOptions) given() string {
	switch {
	case o.wire != "":
		return "--wire"
	case o.tidy:
		return "--tidy"
	case o.prefix != defaultPrefix:
		return "--prefix"
	}
	return ""
}

// place checks the prefix, and returns where the library comes.
func (o *foreignOptions) place() (render.Place, error) {
	below := path.Clean(filepath.ToSlash(o.prefix))
	name := path.Base(below)
	if err := tree.CheckPath(below); err != nil {
		return render.Place{}, usagef("--prefix=%s: %w", o.prefix, err)
	}
	if !token.IsIdentifier(name) || name == "main" || strings.ToLower(name) != name {
		return render.Place{}, usagef("--prefix=%s: the last folder names a Go package: use one lower-case word, as in %s", o.prefix, defaultPrefix)
	}
	for elem := range strings.SplitSeq(below, "/") {
		if elem == "testdata" || elem == "vendor" || elem[0] == '.' || elem[0] == '_' {
			return render.Place{}, usagef("--prefix=%s: the go command leaves %s out; use another folder, as in %s", o.prefix, elem, defaultPrefix)
		}
	}
	return render.Place{Below: below, Package: name}, nil
}

// foreignModule returns the root of the Go module that dir is in, and where in it,
// if no service that scaffold made is there or above; else "".
func (a *app) foreignModule(ctx context.Context, dir string) (root, folder string, err error) {
	s, err := a.look(ctx, dir)
	if err != nil || s != nil {
		return "", "", err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", "", err
	}
	for at := abs; ; at = filepath.Dir(at) {
		info, err := os.Stat(filepath.Join(at, goMod))
		if err == nil && info.Mode().IsRegular() {
			rel, err := filepath.Rel(at, abs)
			return shown(at), filepath.ToSlash(rel), err
		}
		if filepath.Dir(at) == at {
			return "", "", nil
		}
	}
}

// runForeign adds patterns to a module that scaffold did not make.
func runForeign(ctx context.Context, a *app, o *addOptions, root, folder string, doc *document) error {
	decode()
	if o.conflicts != "" && o.conflicts != string(plan.Markers) {
		return usagef("--conflicts=%s: is for services that scaffold made; here no file of yours is touched: choose another folder with --prefix, or say --conflicts=markers for a file that an earlier addition brought", o.conflicts)
	}
	c, err := a.catalog()
	if err != nil {
		return err
	}
	for _, name := range o.patterns {
		if _, err := c.Find(name); err != nil {
			return err
		}
	}
	if terminal := a.terminalFor(ctx, &o.changeOptions); len(o.patterns) == 0 && terminal != nil {
		if o.patterns, err = terminal.Patterns("Patterns to add:", c, offered(c, catalog.Selection{})); err != nil {
			return err
		}
	}
	d, err := draftForeign(c, o, root, folder)
	if err != nil {
		return err
	}
	if err := o.named(d.added); err != nil {
		return err
	}
	if err := a.settleForeign(ctx, d, o); err != nil {
		return err
	}
	doc.foreign(d)
	if !o.json {
		a.printForeign(d, o.dryRun)
	}
	if err := d.bears(); err != nil {
		return err
	}
	if err := a.writeForeign(ctx, d, o, doc); err != nil {
		return err
	}
	app := path.Join(d.place.Folder, d.place.Below, "app.go")
	if step, ok := d.plan.Step(app); ok && step.After != nil {
		a.noteUnset(app, d.next[app].Data, step.After.Data)
	}
	if doc.Result == resultWritten && o.tidy {
		if err := a.tidy(ctx, root); err != nil {
			return err
		}
	}
	if !o.json {
		a.printNextForeign(c, d, o, doc.Result)
	}
	return nil
}

// settleForeign type-checks an addition, and has markers written where that was said
// beforehand.
func (a *app) settleForeign(ctx context.Context, d *foreignDraft, o *addOptions) (err error) {
	for {
		for _, step := range d.plan.Conflicts() {
			if o.conflicts != string(plan.Markers) || !d.brought(step) {
				continue
			}
			if d.plan, err = d.plan.ResolvePath(step.Path, plan.Markers); err != nil {
				return err
			}
		}
		if len(d.plan.Conflicts()) > 0 {
			return nil
		}
		if err := a.checkForeignTypes(ctx, d); err != nil {
			return err
		}
		if len(d.plan.Conflicts()) == 0 {
			return nil
		}
	}
}

// checkForeignTypes is checkTypes for a module that scaffold did not make. A file that
// is wired can be left as it is: that is no conflict.
func (a *app) checkForeignTypes(ctx context.Context, d *foreignDraft) error {
	merged := goMerges(d.plan)
	own := func(dir string) []string { return ownIn(d.root, dir, d.base, d.next) }
	dirs := touched(d.plan, merged, own)
	merged = slices.DeleteFunc(merged, func(p string) bool { return p == d.wired })
	var rest []typecheck.Problem
	var err error
	if d.plan, rest, err = a.doubt(ctx, d.root, d.plan, merged, dirs, own); err != nil {
		return err
	}
	d.unfit, d.broken = nil, nil
	for _, problem := range rest {
		if d.wired != "" && path.Dir(problem.File) == path.Dir(d.wired) {
			d.unfit = append(d.unfit, problem.String())
		} else {
			d.broken = append(d.broken, problem.String())
		}
	}
	return nil
}

// brought reports whether a conflict is in a file that an earlier addition brought,
// and that can have markers.
func (d *foreignDraft) brought(s plan.Step) bool {
	return s.Base != nil && s.Path != goSum && slices.Contains(s.Conflict.Choices, plan.Markers)
}

// bears reports what stands in the way of an addition.
func (d *foreignDraft) bears() error {
	conflicts := d.plan.Conflicts()
	marked := slices.DeleteFunc(slices.Clone(conflicts), func(s plan.Step) bool { return !d.brought(s) })
	switch n := count(len(conflicts), "conflict"); {
	case len(conflicts) > len(marked):
		return &standingError{fmt.Errorf("%s: nothing was written; your files stay as they are: choose another folder with --prefix, or move them away", n)}
	case len(conflicts) > 0:
		return &standingError{fmt.Errorf("%s: nothing was written; take your change of %s out and make it again afterwards, or say --conflicts=markers to have both in the file, and mend it", n, marked[0].Path)}
	case d.wired != "" && len(d.clashes) > 0:
		return &bearError{few(d.clashes) + ": nothing was written; give yours another path, or add without --wire, and take the examples' routes out before you wire the rest"}
	case len(d.unfit) > 0:
		return &bearError{few(d.unfit) + ": the wiring does not type-check there: nothing was written; add without --wire, and put the lines in where they fit"}
	case len(d.broken) > 0:
		return &bearError{few(d.broken) + ": with your own code this does not type-check any more: nothing was written; change yours first"}
	}
	return nil
}

// writeForeign carries out a draft without conflicts.
func (a *app) writeForeign(ctx context.Context, d *foreignDraft, o *addOptions, doc *document) error {
	var changes []apply.Change
	for _, step := range d.plan.Changes() {
		changes = append(changes, apply.Change{Path: step.Path, Before: step.Work, After: step.After})
	}
	if len(changes) == 0 {
		doc.Result = resultUnchanged
		return a.nothingToDo(&o.changeOptions)
	}
	if o.dryRun {
		if !o.json {
			a.printf("Nothing was written (--dry-run).\n")
		}
		return nil
	}
	if err := a.confirm(ctx, &o.changeOptions); err != nil {
		return err
	}
	if err := apply.Apply(ctx, d.root, changes); err != nil {
		return err
	}
	doc.Result, a.wrote = resultWritten, d.root
	return nil
}

// A standingError ends an addition in whose way something stands.
type standingError struct{ err error }

func (e *standingError) Error() string        { return e.err.Error() }
func (e *standingError) Is(target error) bool { return target == errConflicts }

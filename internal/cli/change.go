package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/apply"
	"github.com/seed-d146d9dc/scaffold/internal/ask"
	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/record"
	"github.com/seed-d146d9dc/scaffold/internal/render"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/internal/worktree"
)

// builtin is the pack that comes with scaffold.
const builtin = "builtin"

// A changeOptions is what all commands that change a service have in common.
type changeOptions struct {
	dir       string
	dryRun    bool
	json      bool
	yes       bool
	conflicts string
	// noRequires refuses what is required and was not asked for, where the
	// command has that flag.
	noRequires bool
}

func (o *changeOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "show the plan and write nothing")
	f.BoolVar(&o.json, "json", false, "print the plan and its result as one JSON document, and ask nothing")
	f.BoolVarP(&o.yes, "yes", "y", false, "ask nothing, and write")
}

// serviceFlags are for commands that change a service which is there.
func (o *changeOptions) serviceFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.dir, "dir", "d", ".", "folder of the service")
	completeFolders(cmd, "dir")
	policies := []string{string(plan.Markers), string(plan.Mine), string(plan.Theirs)}
	cmd.Flags().StringVar(&o.conflicts, "conflicts", "", "decide conflicts beforehand: markers, mine or theirs")
	complete(cmd, "conflicts", policies)
}

// requiresFlag is for commands that bring patterns.
func (o *changeOptions) requiresFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.noRequires, "no-requires", false, "refuse patterns that require others which are not named")
}

// named reports patterns that would come only because another one requires them,
// where that is refused.
func (o *changeOptions) named(added []catalog.Added) error {
	if !o.noRequires || len(added) == 0 {
		return nil
	}
	reasons, names := make([]string, len(added)), make([]string, len(added))
	for i, x := range added {
		reasons[i], names[i] = x.By+" requires "+x.Pattern, x.Pattern
	}
	return usagef("%s: name %s too, or leave --no-requires out", strings.Join(reasons, ", "), strings.Join(names, ", "))
}

func (o *changeOptions) check() error {
	switch plan.Policy(o.conflicts) {
	case "", plan.Markers, plan.Mine, plan.Theirs:
		return nil
	}
	return usagef("--conflicts=%s: no such choice; use markers, mine or theirs", o.conflicts)
}

// terminal returns where to ask, or nil if nothing is to be asked.
func (a *app) terminalFor(ctx context.Context, o *changeOptions) *ask.Terminal {
	if o.yes || o.json {
		return nil
	}
	return a.terminal(ctx)
}

// decode decodes what go.mod files are made from while the rest of a command
// reads its own. Who uses it waits for that, and gets the error if there is one.
func decode() {
	go func() { _, _ = gomod.Embedded() }()
}

// A draft is a change to a service, worked out and not made.
type draft struct {
	*service
	want      record.Manifest
	selection catalog.Selection
	// added are the patterns that come because another one requires them.
	added []catalog.Added
	// work is what stands at the paths of what was last written and of next.
	next, work tree.Tree
	plan       plan.Plan
	// needed says which of the owner's files import what is taken out, and own are
	// the Go files that scaffold did not write, where these were looked for.
	needed []use
	own    map[string]bool
	// kept are the Go files that it was decided to keep as they are.
	kept []string
	// importers are the folders of the owner's packages, by the folder of the
	// service's package that they import, where these were looked for.
	importers map[string][]string
	// broken says what of the owner's code no longer type-checks, and left what of it
	// in files that go and that they decided to keep.
	broken, left []string
	// gaps says what does not type-check without files that the owner deleted.
	gaps []string
	// clashes says which routes of the owner's some that are to come clash with.
	clashes []string
	// stale says which of the owner's files import the module by its former name.
	stale []use
}

// draft works out how the service becomes what want says. It writes nothing.
func (a *app) draft(s *service, want record.Manifest) (*draft, error) {
	c, err := a.catalog()
	if err != nil {
		return nil, err
	}
	d := &draft{service: s, want: want}
	if d.selection, d.added, err = resolve(c, want); err != nil {
		return nil, err
	}
	d.want.Options = d.selection.Options
	d.want.Packs = maps.Clone(want.Packs)
	if d.want.Packs == nil {
		d.want.Packs = map[string]string{}
	}
	d.want.Packs[builtin] = a.version
	if s.text != nil {
		before, _, err := c.Resolve(s.manifest.Patterns, nil)
		if err != nil {
			return nil, err
		}
		d.added = slices.DeleteFunc(d.added, func(added catalog.Added) bool { return before.Has(added.Pattern) })
	}
	if err := d.render(c); err != nil {
		return nil, err
	}
	if err := checkModule(s, want, d.work); err != nil {
		return nil, err
	}
	if err := d.checkMoved(d.work); err != nil {
		return nil, err
	}
	base, err := d.bearing()
	if err != nil {
		return nil, err
	}
	base = d.followed(base, d.work)
	// Without these, what is added is not built, or nothing starts it.
	d.plan = plan.Make(base, d.next, d.work, goMod, "go.sum", "cmd/"+want.Name+"/app.go")
	if err := d.checkMigrations(); err != nil {
		return nil, err
	}
	d.checkRoutes()
	return d, unresolved(d.plan)
}

// render makes what is to stand next, and reads what stands at its paths and at
// those of what was last written. The files that are known are read meanwhile.
func (d *draft) render(c *catalog.Catalog) (err error) {
	var known tree.Tree
	var failed error
	var reading sync.WaitGroup
	reading.Go(func() { known, failed = worktree.Read(d.root, d.base.Paths(), d.base) })
	d.next, err = render.Render(c, d.selection)
	reading.Wait()
	if err = cmp.Or(err, failed); err != nil {
		return err
	}
	fresh := slices.DeleteFunc(d.next.Paths(), func(p string) bool {
		_, ok := d.base[p]
		return ok
	})
	if d.work, err = worktree.Read(d.root, fresh, d.base); err != nil {
		return err
	}
	maps.Copy(d.work, known)
	return nil
}

// resolve makes a manifest a selection.
func resolve(c *catalog.Catalog, m record.Manifest) (catalog.Selection, []catalog.Added, error) {
	if err := checkName(m.Name, c); err != nil {
		return catalog.Selection{}, nil, err
	}
	if err := gomod.CheckModulePath(m.Module); err != nil {
		return catalog.Selection{}, nil, &usageError{err}
	}
	s, added, err := c.Resolve(m.Patterns, m.Options)
	if err != nil {
		return s, added, &usageError{err}
	}
	s.Name, s.Module = m.Name, m.Module
	return s, added, nil
}

// changes are all files that the change writes: the service's own, what is
// recorded of them, and the manifest.
func (d *draft) changes() ([]apply.Change, error) {
	var changes []apply.Change
	for _, step := range d.plan.Changes() {
		changes = append(changes, apply.Change{Path: step.Path, Before: step.Work, After: step.After})
	}
	// Of the record, only what differs: it is as large as the service.
	before, after := record.Files(d.base), record.Files(d.next)
	fixed := record.Files(nil).Paths()
	standing, err := worktree.Read(d.root, fixed, nil)
	if err != nil {
		return nil, err
	}
	for _, p := range fixed {
		delete(before, p)
	}
	maps.Copy(before, standing)
	changes = append(changes, apply.Diff(before, after)...)
	text, err := d.want.Update(d.text)
	if err != nil {
		return nil, &usageError{err}
	}
	manifest := apply.Change{Path: record.ManifestFile, After: &tree.File{Data: text}}
	if d.text != nil {
		stands, err := worktree.Read(d.root, []string{record.ManifestFile}, nil)
		if err != nil {
			return nil, err
		}
		file := tree.File{Data: d.text, Exec: stands[record.ManifestFile].Exec}
		manifest.Before, manifest.After.Exec = &file, file.Exec
	}
	if manifest.Before == nil || !manifest.Before.Equal(*manifest.After) {
		changes = append(changes, manifest)
	}
	return changes, nil
}

// nothingToDo ends a command that finds all as it shall be.
func (a *app) nothingToDo(o *changeOptions) error {
	if !o.json {
		a.printf("Nothing to do.\n")
	}
	return nil
}

// change makes a service what want says: the one way in which anything is
// written. title is said above the plan. It returns what was written, or nil if
// there was nothing to write or nothing was to be written.
func (a *app) change(ctx context.Context, s *service, want record.Manifest, o *changeOptions, doc *document, title string) (*draft, error) {
	d, err := a.draft(s, want)
	if err != nil {
		return nil, err
	}
	if err := o.named(d.added); err != nil {
		return nil, err
	}
	return a.carryOut(ctx, d, o, doc, title)
}

// carryOut writes a draft, when it is complete and is to be written.
func (a *app) carryOut(ctx context.Context, d *draft, o *changeOptions, doc *document, title string) (*draft, error) {
	if len(d.plan.Conflicts()) > 0 {
		if err := a.still(ctx, d.service); err != nil {
			return nil, err
		}
	}
	terminal := a.terminalFor(ctx, o)
	show := sync.OnceFunc(func() {
		if !o.json {
			a.printDraft(title, d, o.dryRun)
		}
	})
	err := a.settle(ctx, d, o, terminal, show)
	doc.draft(d)
	if err != nil {
		return nil, err
	}
	if err := a.bears(d, o, terminal != nil); err != nil {
		return nil, err
	}
	if left := d.plan.Conflicts(); len(left) > 0 {
		return nil, fmt.Errorf("%s: %w; decide with --conflicts=%s, or run this at a terminal to decide file by file",
			count(len(left), "conflict"), errConflicts, choices(left))
	}
	changes, err := d.changes()
	if err != nil {
		return nil, err
	}
	if len(changes) == 0 {
		doc.Result = resultUnchanged
		return nil, a.nothingToDo(o)
	}
	if o.dryRun {
		if !o.json {
			a.printf("Nothing was written (--dry-run).\n")
		}
		return nil, nil
	}
	if err := a.confirm(ctx, o); err != nil {
		return nil, err
	}
	write := func() error { return apply.ApplyUndoable(ctx, d.root, a.command, changes) }
	if d.text == nil { // a new service is deleted, not taken back
		write = func() error { return apply.Apply(ctx, d.root, changes) }
	}
	if err := write(); err != nil {
		return nil, err
	}
	if len(d.stale) > 0 {
		a.notef("%s: write %s there", few(d.stale), d.want.Module)
	}
	a.noteUnwired(d)
	a.noteUnrequired(d)
	a.noteKept(d)
	a.noteVendor(d)
	doc.Result, a.wrote = resultWritten, d.root
	return d, nil
}

// settle has the conflicts of a draft decided, as was said beforehand or by the person
// who is asked, once the draft was shown. What comes of that is type-checked, until no
// new conflict does.
func (a *app) settle(ctx context.Context, d *draft, o *changeOptions, terminal *ask.Terminal, show func()) error {
	for {
		if o.conflicts != "" {
			d.plan = d.plan.Resolve(plan.Policy(o.conflicts))
		}
		if len(d.plan.Conflicts()) > 0 {
			show()
			if o.dryRun || terminal == nil {
				return nil
			}
			if err := a.decide(terminal, d); err != nil {
				return err
			}
		}
		if err := d.keepRequired(); err != nil {
			return err
		}
		if err := a.checkTypes(ctx, d); err != nil {
			return err
		}
		if len(d.plan.Conflicts()) == 0 {
			show()
			return nil
		}
	}
}

// confirm asks whether to write, where anything is asked.
func (a *app) confirm(ctx context.Context, o *changeOptions) error {
	if terminal := a.terminalFor(ctx, o); terminal != nil {
		ok, err := terminal.Confirm("Write it?")
		if err != nil {
			return err
		}
		if !ok {
			return errDeclined
		}
	}
	return ctx.Err()
}

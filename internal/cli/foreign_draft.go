package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/foreign"
	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/merge"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/render"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/internal/worktree"
)

// A foreignDraft is an addition to a module that scaffold did not make, worked
// out and not written.
type foreignDraft struct {
	root      string
	repo      *foreign.Repo
	place     render.Place
	selection catalog.Selection
	added     []catalog.Added
	fresh     []string          // what was asked for and is not there
	reasons   []string          // why the options have their values
	had       map[string]string // the options of what an earlier addition brought
	// base are the files that an earlier addition brought, as they were, next those
	// that are to be.
	base, next tree.Tree
	plan       plan.Plan
	mod        *gomod.Into
	vendor     bool
	// wiring is what main needs, nil where it has it or its place is not known.
	wiring *foreign.Wiring
	at     string // as --wire takes it
	wired  string // the file that the wiring is put into, if it is
	routes []render.Route
	// clashes says which routes there some that are to come clash with.
	clashes []string
	// unfit says why the wiring, and broken what of the owner's code, does not
	// type-check.
	unfit, broken []string
}

// draftForeign works an addition out. It writes nothing.
func draftForeign(c *catalog.Catalog, o *addOptions, root, folder string) (*foreignDraft, error) {
	d := &foreignDraft{root: root}
	var err error
	if d.place, err = o.place(); err != nil {
		return nil, err
	}
	d.place.Folder = folder
	opened, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.Close() }()
	fsys := opened.FS()
	if d.repo, err = foreign.Look(fsys, folder, path.Join(folder, d.place.Below)); err != nil {
		return nil, err
	}
	d.place.Import = d.repo.ImportPath(d.place.Below)
	if d.base, err = d.choose(c, o, fsys); err != nil {
		return nil, err
	}
	if d.next, err = render.Library(c, d.selection, d.place); err != nil {
		return nil, err
	}
	if err := standing(fsys, d.base, d.next); err != nil {
		return nil, err
	}
	mod, sum, err := gomod.Resolve(d.repo.Module, d.next)
	if err != nil {
		return nil, err
	}
	if err := d.makePlan(fsys, o.wire, mod, sum); err != nil {
		return nil, err
	}
	if err := unresolved(d.plan); err != nil {
		return nil, err
	}
	d.routes = render.Routes(c, d.selection)
	if d.wiring != nil {
		if err := d.checkRoutes(fsys); err != nil {
			return nil, err
		}
	}
	return d, d.workspace(o)
}

// choose resolves what was asked for with what an earlier addition brought, and
// returns the files of that as they were before anyone edited them.
func (d *foreignDraft) choose(c *catalog.Catalog, o *addOptions, fsys fs.FS) (base tree.Tree, err error) {
	set, err := settings(splitNames(o.set))
	if err != nil {
		return nil, err
	}
	before := d.found(c, fsys)
	for _, name := range o.patterns {
		if !before.Has(name) {
			d.fresh = append(d.fresh, name)
		}
	}
	d.had = before.Options
	options := merged(before.Options, set)
	wanted := append(slices.Clone(before.Patterns), o.patterns...)
	bare, _, err := c.Resolve(wanted, nil)
	if err != nil {
		return nil, &usageError{err}
	}
	if value, ok := bare.Options["database"]; ok && options["database"] == "" {
		switch by := d.repo.DatabaseImport; {
		case d.repo.Database != "":
			options["database"] = d.repo.Database
			d.reasons = append(d.reasons, fmt.Sprintf("%s imports %s", by.File, by.Path))
		default:
			d.reasons = append(d.reasons, fmt.Sprintf("no driver of PostgreSQL or SQLite was found; --set chooses another than %s", value))
		}
	}
	if d.selection, d.added, err = c.Resolve(wanted, options); err != nil {
		return nil, &usageError{err}
	}
	d.added = slices.DeleteFunc(d.added, func(x catalog.Added) bool { return before.Has(x.Pattern) })
	name := path.Base(d.repo.ImportPath(""))
	if majorVersion(name) {
		name = path.Base(path.Dir(d.repo.ImportPath("")))
	}
	d.selection.Name, d.selection.Module = name, d.repo.Module
	if len(before.Patterns) == 0 {
		return tree.Tree{}, nil
	}
	before.Name, before.Module = d.selection.Name, d.selection.Module
	return render.Library(c, before, d.place)
}

func majorVersion(elem string) bool {
	return len(elem) > 1 && elem[0] == 'v' && strings.Trim(elem[1:], "0123456789") == ""
}

// found returns what an earlier addition brought: there is no record of it but
// the files themselves.
func (d *foreignDraft) found(c *catalog.Catalog, fsys fs.FS) catalog.Selection {
	dir := path.Join(d.place.Folder, d.place.Below)
	exists := func(elem ...string) bool {
		_, err := fs.Stat(fsys, path.Join(append([]string{dir}, elem...)...))
		return err == nil
	}
	text, err := fs.ReadFile(fsys, path.Join(dir, "app.go"))
	if err != nil || !strings.Contains(string(text), "is what scaffold added to this module") {
		return catalog.Selection{}
	}
	var names []string
	options := make(map[string]string)
	for _, p := range c.Patterns {
		if exists(p.Name+".go") && exists(p.Name) {
			names = append(names, p.Name)
		}
	}
	for _, o := range c.Options {
		if value := alternative(o, namesIn(fsys, path.Join(dir, o.Pattern))); value != "" && slices.Contains(names, o.Pattern) {
			options[o.Name] = value
		}
	}
	s, _, err := c.Resolve(names, options)
	if err != nil {
		return catalog.Selection{}
	}
	return s
}

// namesIn returns the names of what is in a folder, none where it can't be read.
func namesIn(fsys fs.FS, dir string) (names []string) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil // it is not there
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// standing reports a folder in which the module has a package of its own where
// one is to come: both would be one package.
func standing(fsys fs.FS, base, next tree.Tree) error {
	var dirs []string
	for p := range next {
		if path.Ext(p) == ".go" {
			dirs = append(dirs, path.Dir(p))
		}
	}
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		entries, err := fs.ReadDir(fsys, dir)
		if err != nil {
			continue // what stands there instead is the plan's to say
		}
		own, theirs := false, ""
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			_, is := next[name]
			_, was := base[name]
			switch {
			case is || was:
				own = true
			case path.Ext(name) == ".go" && theirs == "":
				theirs = name
			}
		}
		if theirs != "" && !own {
			return &standingError{fmt.Errorf("%s: you have a package of your own where one is to come (with %s); choose another folder with --prefix, as in --prefix %s",
				dir, path.Base(theirs), "internal/scaffold")}
		}
	}
	return nil
}

// makePlan compares the files with what stands there, and merges requirements
// and wiring into the files that have them.
func (d *foreignDraft) makePlan(fsys fs.FS, wire string, mod, sum []byte) (err error) {
	base, next := d.base, d.next
	if d.wired, err = d.wire(fsys, wire, next); err != nil {
		return err
	}
	paths := append(slices.Collect(maps.Keys(next)), base.Paths()...)
	work, err := worktree.Read(d.root, append(paths, goMod, "go.sum"), nil)
	if err != nil {
		return err
	}
	// Both sides have added to a file that held nothing.
	nothing := []byte("module " + d.repo.Module + "\n")
	merged := merge.Merge(merge.GoMod, nothing, work[goMod].Data, mod, merge.Labels{})
	if !merged.Clean() {
		return fmt.Errorf("%s: the requirements can't be merged in: %s", goMod, merged.Conflicts[0].Why)
	}
	if d.mod, err = gomod.Finish(work[goMod].Data, merged.Data, mod, moduleCache().known); err != nil {
		return err
	}
	base[goMod], next[goMod] = work[goMod], tree.File{Data: plan.LineEnds(work[goMod].Data, d.mod.Mod), Exec: work[goMod].Exec}
	next["go.sum"] = tree.File{Data: append(sum, d.mod.Sums...)}
	if stands, ok := work["go.sum"]; ok {
		base["go.sum"] = tree.File{Exec: stands.Exec}
	}
	if d.wired != "" {
		base[d.wired] = work[d.wired]
		next[d.wired] = tree.File{Data: next[d.wired].Data, Exec: work[d.wired].Exec}
	}
	d.plan = plan.Make(base, next, work)
	for i := range d.plan.Steps {
		s := &d.plan.Steps[i]
		switch {
		case !s.Writes():
		case s.Path == d.wired:
			s.Action, s.Why = plan.Merge, "the wiring is put into "+d.wiring.Site.Func
		case s.Path == "go.sum" && s.Work != nil:
			s.Why, s.Notes = "sums of the requirements are added", nil
		case s.Path == goMod:
			s.Action, s.Why, s.Notes = plan.Merge, "the patterns' requirements are merged in", d.mod.Notes
		}
	}
	return nil
}

// wire works the wiring out: into next where a place was named, whose path it
// returns; else to be shown, for the likeliest place.
func (d *foreignDraft) wire(fsys fs.FS, at string, next tree.Tree) (string, error) {
	lib := foreign.Library{Import: d.place.Import, Package: d.place.Package}
	if at == "" {
		for _, site := range d.repo.Sites {
			for _, fn := range []string{site.Func, site.Func + ":" + site.Var} {
				w, err := foreign.Wire(fsys, site.File, fn, lib)
				if err == nil && d.repo.Wired == "" {
					d.wiring, d.at = w, fn
					return "", nil
				}
			}
		}
		return "", nil
	}
	file, fn, ok := strings.Cut(at, ".go:")
	if !ok || file == "" || fn == "" {
		return "", usagef("--wire=%s: say FILE:FUNC, as in main.go:main", at)
	}
	file = path.Clean(filepath.ToSlash(file + ".go"))
	name := d.inModule(fsys, file)
	if !fs.ValidPath(name) || path.Ext(name) != ".go" {
		return "", usagef("--wire=%s: %s is no Go file in the module", at, file)
	}
	if inside, _, ok := strings.Cut(path.Join(d.repo.Folder, d.place.Below)+"/", "internal/"); ok && !strings.HasPrefix(name, inside) {
		return "", usagef("--wire=%s: Go lets only what is below %s import %s; choose another --dir or --prefix", at, path.Clean("./"+inside), d.place.Import)
	}
	var err error
	if d.wiring, err = foreign.Wire(fsys, name, fn, lib); err != nil {
		return "", &usageError{fmt.Errorf("--wire: %w", err)}
	}
	next[name] = tree.File{Data: d.wiring.Data}
	return name, nil
}

// inModule returns the path from the module's root of a file that is given by its path
// from the folder or from the root, or by an absolute one.
func (d *foreignDraft) inModule(fsys fs.FS, file string) string {
	if !filepath.IsAbs(filepath.FromSlash(file)) {
		name := path.Join(d.repo.Folder, file)
		if _, err := fs.Stat(fsys, name); errors.Is(err, fs.ErrNotExist) {
			return file
		}
		return name
	}
	root, err := filepath.Abs(d.root)
	if err != nil {
		return file
	}
	if rel, err := filepath.Rel(root, file); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	// A symbolic link gives folders a second name.
	root, err = filepath.EvalSymlinks(root)
	dir, dirErr := filepath.EvalSymlinks(filepath.Dir(file))
	rel, relErr := filepath.Rel(root, filepath.Join(dir, filepath.Base(file)))
	if errors.Join(err, dirErr, relErr) != nil || !filepath.IsLocal(rel) {
		return file
	}
	return filepath.ToSlash(rel)
}

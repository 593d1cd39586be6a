package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/internal/worktree"
)

// A bearError says why the owner's own code does not bear a change.
type bearError struct{ why string }

func (e *bearError) Error() string { return e.why }

// bears reports a change that takes out what the owner's own code imports, or with
// which it no longer type-checks or starts, unless that was decided, or is about to be by
// the person who is asked.
func (a *app) bears(d *draft, o *changeOptions, asked bool) error {
	d.needed = slices.DeleteFunc(d.needed, func(u use) bool {
		step, ok := d.plan.Step(u.file)
		return ok && step.Action == plan.Delete
	})
	switch {
	case len(d.needed) == 0:
	case o.conflicts != string(plan.Theirs):
		return &bearError{few(d.needed) + ", which goes: nothing was written; take the import out, name its pattern in scaffold.yaml to keep it, or say --conflicts=theirs"}
	default:
		a.notef("%s, which is taken out", few(d.needed))
	}
	if len(d.left) > 0 {
		a.notef("%s: stays as you decided, and does not type-check any more: mend it afterwards", few(d.left))
	}
	if len(d.gaps) > 0 {
		a.notef("%s: does not type-check yet without what you deleted or moved; it is yours to mend", few(d.gaps))
	}
	for _, x := range []struct {
		found      []string
		why, first string
	}{
		{d.broken, "with your own code this does not type-check any more", "change yours first"},
		{d.clashes, "the service does not start with both", "give yours another path first"},
	} {
		switch {
		case len(x.found) == 0:
		case o.conflicts != string(plan.Theirs) && !asked:
			return &bearError{few(x.found) + ": " + x.why + ": nothing was written; " + x.first + ", or say --conflicts=theirs and mend it afterwards"}
		default:
			a.notef("%s: %s: mend it afterwards", few(x.found), x.why)
		}
	}
	return nil
}

// A use is an import in a file of the owner's.
type use struct{ file, imports string }

func (u use) String() string { return u.file + " imports " + u.imports }

// MarshalText is String.
func (u use) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// few names the first of many.
func few[T any](things []T) string {
	const most = 5
	var names []string
	for _, thing := range things[:min(most, len(things))] {
		names = append(names, fmt.Sprint(thing))
	}
	if more := len(things) - len(names); more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), more)
	}
	return strings.Join(names, ", ")
}

// keepRequired plans go.mod and go.sum anew where it was decided that Go files stay as
// they are: what these import stays required, though the templates need it no more.
func (d *draft) keepRequired() error {
	d.kept = nil
	for _, step := range d.plan.Steps {
		if step.Decided == plan.Mine && step.Work != nil && path.Ext(step.Path) == ".go" {
			d.kept = append(d.kept, step.Path)
		}
	}
	if len(d.kept) == 0 {
		return nil
	}
	base, err := d.bearing()
	if err != nil {
		return err
	}
	paths := slices.DeleteFunc([]string{goMod, goSum}, func(p string) bool {
		step, ok := d.plan.Step(p)
		return ok && step.Decided != ""
	})
	only := func(files tree.Tree) tree.Tree {
		few := make(tree.Tree)
		for _, p := range paths {
			if f, ok := files[p]; ok {
				few[p] = f
			}
		}
		return few
	}
	d.plan = d.plan.Replace(plan.Make(only(base), only(d.next), only(d.work), paths...), paths...)
	return nil
}

// owners looks at what the change takes out and the owner's code may need. Of that,
// it notes the packages, and returns the base to plan with: one in which the
// requirements that the owner's code needs were never scaffold's, so that they
// stay. The sums of an owner who has requirements of their own stay, all of them.
func (d *draft) owners() (tree.Tree, error) {
	if d.text == nil {
		return d.base, nil
	}
	d.needed, d.stale = nil, nil
	last := joined(d.base)
	was, direct, err := gomod.Required(last[goMod].Data)
	if err != nil {
		return last, err
	}
	next, stay, err := gomod.Required(d.next[goMod].Data)
	if err != nil {
		return last, err
	}
	module := cmp.Or(gomod.ModuleOf(last[goMod].Data), d.want.Module)
	gone := gonePackages(last, d.next, module)
	less := slices.DeleteFunc(slices.Collect(maps.Keys(was)), func(m string) bool { _, ok := next[m]; return ok })
	edited := !slices.Equal(said(d.work[goMod].Data), said(last[goMod].Data))
	// A module that only others require from now on may need less than before. More
	// patterns can need fewer such: for that, no file of the owner's is read.
	takes := slices.DeleteFunc(direct, func(m string) bool { return slices.Contains(stay, m) })
	if len(gone) == 0 && len(takes) == 0 && module == d.want.Module {
		return last, nil
	}
	imports, err := d.imports()
	if err != nil {
		return nil, err
	}
	goes := append(less, takes...)
	needed := d.uses(imports, module, gone, goes)
	for _, name := range d.kept {
		paths, _, _ := gomod.FileImports(name, d.work[name].Data) // what can be read of it
		for _, imp := range paths {
			if slices.ContainsFunc(goes, func(m string) bool { return within(imp, m) }) {
				needed[imp] = name
			}
		}
	}
	if len(needed) == 0 && !edited {
		return last, nil
	}
	base := maps.Clone(last)
	if len(needed) > 0 {
		if base[goMod], err = d.without(base[goMod], needed, was, next, takes); err != nil {
			return nil, err
		}
	}
	base[goSum] = tree.File{Data: common(base[goSum].Data, d.next[goSum].Data), Exec: base[goSum].Exec}
	return base, nil
}

const goSum = "go.sum"

// uses notes which of the owner's imports are of packages that go, or whose module has
// another path from now on. It returns those that may be of other modules that go, each
// with a file.
func (d *draft) uses(imports map[string]string, module string, gone map[string]bool, modules []string) map[string]string {
	needed := make(map[string]string)
	for _, imp := range slices.Sorted(maps.Keys(imports)) {
		below, own := strings.CutPrefix(imp, module+"/")
		switch u := (use{file: imports[imp], imports: imp}); {
		case gone[imp] && d.leavesNone(below):
			d.needed = append(d.needed, u)
		case own && module != d.want.Module:
			d.stale = append(d.stale, u)
		}
		if slices.ContainsFunc(modules, func(m string) bool { return within(imp, m) }) {
			needed[imp] = imports[imp]
		}
	}
	return needed
}

// joined returns what was last written with a go.mod that parses, where git joined the
// lines of two.
func joined(base tree.Tree) tree.Tree {
	mod, ok := base[goMod]
	if data := gomod.Joined(mod.Data); ok && !bytes.Equal(data, mod.Data) {
		base = maps.Clone(base)
		base[goMod] = tree.File{Data: data, Exec: mod.Exec}
	}
	return base
}

// said are the lines of a go.mod that are not blank or a comment.
func said(mod []byte) []string {
	var lines []string
	for line := range strings.Lines(string(mod)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines = append(lines, line)
		}
	}
	return lines
}

// packages are the folders of Go packages that can be imported.
func packages(files tree.Tree) map[string]bool {
	dirs := make(map[string]bool)
	for p := range files {
		if importable(p) {
			dirs[path.Dir(p)] = true
		}
	}
	return dirs
}

// gonePackages are the import paths of the packages of which next has none.
func gonePackages(last, next tree.Tree, module string) map[string]bool {
	gone := make(map[string]bool)
	dirs := packages(next)
	for dir := range packages(last) {
		if !dirs[dir] {
			gone[module+"/"+dir] = true
		}
	}
	return gone
}

// importable reports whether a file belongs to what others import of its package.
func importable(name string) bool {
	return path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go")
}

// leavesNone reports whether of a package nothing but scaffold's stands there.
func (d *draft) leavesNone(dir string) bool {
	for p := range d.own {
		if path.Dir(p) == dir && !strings.HasSuffix(p, "_test.go") {
			return false
		}
	}
	return true
}

// imports returns what the owner's own Go code imports: files that scaffold did not
// write, and what was added to those that it did. Each with one of the files. Of a
// module below the service's, it is what that imports of the service.
func (d *draft) imports() (map[string]string, error) {
	all := make(map[string]string)
	root, err := os.OpenRoot(d.root)
	if err != nil {
		return nil, err
	}
	dir := worktree.Open(root)
	defer func() { _ = dir.Close() }()
	d.own, d.importers = make(map[string]bool), make(map[string][]string)
	fsys := dir.FS()
	nested := "" // module below the service's, whose requirements are its own
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return unread(e, err)
		}
		base := path.Base(name)
		if e.IsDir() {
			if name == "." {
				return nil
			}
			if base[0] == '.' || base[0] == '_' || base == "testdata" || base == "vendor" || base == "node_modules" {
				return fs.SkipDir
			}
			if _, err := root.Lstat(name + "/" + goMod); err == nil && !under(name, nested) {
				nested = name
			}
			return nil
		}
		if path.Ext(base) != ".go" || !e.Type().IsRegular() || base[0] == '.' || base[0] == '_' {
			return nil
		}
		written, ours := d.base[name]
		data := d.work[name].Data
		if !ours {
			if data, err = fs.ReadFile(fsys, name); err != nil {
				return unread(e, err)
			}
			if !under(name, nested) {
				d.own[name] = true
			}
		} else if _, stays := d.next[name]; !stays || bytes.Equal(data, written.Data) {
			return nil
		}
		for _, imp := range added(name, written.Data, data) {
			if below, service := strings.CutPrefix(imp, d.want.Module+"/"); service && !under(name, nested) {
				d.importers[below] = append(d.importers[below], path.Dir(name))
			}
			if _, ok := all[imp]; !ok && (!under(name, nested) || within(imp, d.want.Module)) {
				all[imp] = name
			}
		}
		return nil
	})
	return all, err
}

// unread says how a walk goes on where something can't be read. What is gone by now, or
// of a server beside the service, nobody builds.
func unread(e fs.DirEntry, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission) && e != nil && !e.IsDir():
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fs.SkipDir
	}
	return err
}

// under reports whether a path is in a folder, of which "" is none.
func under(name, dir string) bool {
	return dir != "" && (name == dir || strings.HasPrefix(name, dir+"/"))
}

// added are the imports of a file that its earlier version does not have. What does
// not parse imports what could be read of it.
func added(name string, before, now []byte) []string {
	had, _, _ := gomod.FileImports(name, before)
	has, _, _ := gomod.FileImports(name, now)
	return slices.DeleteFunc(has, func(imp string) bool { return len(before) > 0 && slices.Contains(had, imp) })
}

// without returns a go.mod that lacks what the packages need and the service then
// no longer requires, or, as with takes, not for its own files.
func (d *draft) without(mod tree.File, packages, was, next map[string]string, takes []string) (tree.File, error) {
	var src strings.Builder
	src.WriteString("package owners\n\nimport (\n")
	for imp := range packages {
		fmt.Fprintf(&src, "\t_ %q\n", imp)
	}
	src.WriteString(")\n")
	files := maps.Clone(d.next)
	files["owners/owners.go"] = tree.File{Data: []byte(src.String())}
	var drop []string
	keep := func(modules map[string]string) {
		for m := range modules {
			if _, ours := was[m]; ours && next[m] == "" {
				drop = append(drop, m)
			}
		}
	}
	resolved, _, err := gomod.Resolve(d.want.Module, files)
	if err == nil {
		var with map[string]string
		if with, _, err = gomod.Required(resolved); err == nil {
			keep(with)
			for imp := range packages {
				drop = append(drop, slices.DeleteFunc(slices.Clone(takes), func(m string) bool { return !within(imp, m) })...)
			}
		}
	}
	if err != nil { // a package of theirs that no template imports: all stay
		keep(was)
	}
	data, err := gomod.Without(mod.Data, drop)
	return tree.File{Data: data, Exec: mod.Exec}, err
}

// common returns the lines of text that other has, too.
func common(text, other []byte) []byte {
	has := make(map[string]bool)
	for line := range strings.Lines(string(other)) {
		has[line] = true
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		if has[line] {
			out.WriteString(line)
		}
	}
	return []byte(out.String())
}

// within reports whether the module can have the package.
func within(imp, module string) bool {
	return imp == module || strings.HasPrefix(imp, module+"/")
}

package merge

import (
	"cmp"
	"fmt"
	"go/version"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// mergeGoMod merges a go.mod by its statements and keeps the owner's comments,
// blocks and order. Where both sides set a version, the higher one wins. What
// it can't decide by statements is merged by lines, and so is what has a base that
// does not parse.
func mergeGoMod(base, ours, theirs []byte, labels Labels) Result {
	byLines := newMerge3(base, ours, theirs).render(labels)
	var mods [3]*modfile.File
	for i, data := range [][]byte{base, ours, theirs} {
		f, err := modfile.Parse("go.mod", data, nil)
		if err != nil && i > 0 {
			return byLines // nothing to hold the result against
		}
		mods[i] = f
	}
	m := modMerge{base: mods[0], ours: mods[1], theirs: mods[2]}
	if m.base != nil {
		owners := modComments(ours)
		for text, n := range modComments(base) {
			owners[text] -= n
		}
		if data, err := m.merge(); err == nil {
			m.lost(owners, data)
			return Result{Data: data, Notes: m.notes}
		}
	}
	if byLines.Clean() {
		if _, err := modfile.Parse("go.mod", byLines.Data, nil); err != nil {
			why := "merged line by line it does not parse: " + err.Error()
			return newMerge3(base, ours, theirs).renderAll(labels, Syntax, why)
		}
	}
	return byLines
}

// A modMerge changes ours by what became of base in theirs.
type modMerge struct {
	base, ours, theirs *modfile.File
	notes              []string
}

func (m *modMerge) notef(format string, args ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

func (m *modMerge) merge() ([]byte, error) {
	for _, step := range []func() error{m.module, m.versions, m.replaces, m.sets} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	m.fold()
	m.requires()
	m.ours.Cleanup()
	return m.ours.Format()
}

// three returns the value that one side changed, or false if both did, to
// different ones.
func three[T comparable](base, ours, theirs T) (T, bool) {
	switch {
	case ours == theirs, base == theirs:
		return ours, true
	case base == ours:
		return theirs, true
	default:
		return ours, false
	}
}

func (m *modMerge) module() error {
	path := func(f *modfile.File) string {
		if f.Module == nil {
			return ""
		}
		return f.Module.Mod.Path
	}
	merged, ok := three(path(m.base), path(m.ours), path(m.theirs))
	if !ok {
		return fmt.Errorf("both sides changed the module path")
	}
	if merged == path(m.ours) {
		return nil
	}
	return m.ours.AddModuleStmt(merged)
}

// versions merges the go and the toolchain line.
func (m *modMerge) versions() error {
	goLine := func(f *modfile.File) string {
		if f.Go == nil {
			return ""
		}
		return f.Go.Version
	}
	merged := m.higher("go", goLine(m.base), goLine(m.ours), goLine(m.theirs), func(x, y string) int {
		return version.Compare("go"+x, "go"+y)
	})
	if merged != "" && merged != goLine(m.ours) {
		if err := m.ours.AddGoStmt(merged); err != nil {
			return err
		}
	}
	toolchain := func(f *modfile.File) string {
		if f.Toolchain == nil {
			return ""
		}
		return f.Toolchain.Name
	}
	merged = m.higher("toolchain", toolchain(m.base), toolchain(m.ours), toolchain(m.theirs), version.Compare)
	switch merged {
	case toolchain(m.ours):
		return nil
	case "":
		m.ours.DropToolchainStmt()
		return nil
	default:
		return m.ours.AddToolchainStmt(merged)
	}
}

// higher returns the version that one side changed, or the higher one.
func (m *modMerge) higher(name, base, ours, theirs string, compare func(x, y string) int) string {
	merged, ok := three(base, ours, theirs)
	switch {
	case ok:
		return merged
	case compare(ours, theirs) >= 0:
		if theirs != "" {
			m.notef("%s: your %s is kept, which is higher than the %s that is asked for", name, ours, theirs)
		}
		return ours
	default:
		if ours != "" {
			m.notef("%s: raised from your %s to %s", name, ours, theirs)
		}
		return theirs
	}
}

// A requirement is a require line without its place in the file.
type requirement struct {
	version  string
	indirect bool
	comment  string // what a person wrote there
}

func requirements(f *modfile.File) map[string]requirement {
	reqs := make(map[string]requirement, len(f.Require))
	for _, r := range f.Require {
		req := requirement{version: r.Mod.Version, indirect: r.Indirect}
		for _, c := range slices.Concat(r.Syntax.Before, r.Syntax.Suffix, r.Syntax.After) {
			if text := strings.TrimSpace(strings.TrimPrefix(c.Token, "//")); text != "indirect" {
				req.comment += text + "\n"
			}
		}
		if old, twice := reqs[r.Mod.Path]; twice && semver.Compare(old.version, req.version) > 0 {
			req.version = old.version
		}
		reqs[r.Mod.Path] = req
	}
	return reqs
}

func (m *modMerge) requires() {
	o, a, b := requirements(m.base), requirements(m.ours), requirements(m.theirs)
	all := maps.Clone(a)
	maps.Copy(all, b)
	var merged []*modfile.Require
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if r, keep := m.requirement(path, o, a, b); keep {
			merged = append(merged, &modfile.Require{
				Mod:      module.Version{Path: path, Version: r.version},
				Indirect: r.indirect,
			})
		}
	}
	if len(merged) == 0 && len(m.ours.Require) == 0 {
		return
	}
	m.ours.SetRequireSeparateIndirect(merged)
}

func (m *modMerge) requirement(path string, base, ours, theirs map[string]requirement) (requirement, bool) {
	o, inBase := base[path]
	a, inOurs := ours[path]
	b, inTheirs := theirs[path]
	switch {
	case !inOurs && !inBase:
		return b, true
	case !inOurs:
		if b != o {
			m.notef("%s: you removed it, and it stays out; if the service needs it, 'go mod tidy' adds it", path)
		}
		return requirement{}, false
	case !inTheirs && !inBase:
		return a, true
	case !inTheirs:
		if a != o {
			m.notef("%s: no longer needed by the service, kept because you changed its line", path)
		}
		return a, a != o
	}
	merged := requirement{version: m.higher(path, o.version, a.version, b.version, semver.Compare)}
	if inBase {
		merged.indirect, _ = three(o.indirect, a.indirect, b.indirect)
	} else {
		merged.indirect = a.indirect && b.indirect
	}
	return merged, true
}

func (m *modMerge) replaces() error {
	of := func(f *modfile.File) map[module.Version]module.Version {
		reps := map[module.Version]module.Version{}
		for _, r := range f.Replace {
			reps[r.Old] = r.New
		}
		return reps
	}
	o, a, b := of(m.base), of(m.ours), of(m.theirs)
	old := maps.Clone(o)
	maps.Copy(old, b)
	for _, from := range slices.SortedFunc(maps.Keys(old), compareModules) {
		merged, ok := three(o[from], a[from], b[from])
		switch {
		case !ok:
			return fmt.Errorf("both sides replace %s", from)
		case merged == a[from]:
			continue
		}
		var err error
		if merged == (module.Version{}) {
			err = m.ours.DropReplace(from.Path, from.Version)
		} else {
			err = m.ours.AddReplace(from.Path, from.Version, merged.Path, merged.Version)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func compareModules(x, y module.Version) int {
	return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.Version, y.Version))
}

// sets merges the statements that are there or are not. The owner's stay in any
// case; what the templates never write is an error, so that lines decide.
func (m *modMerge) sets() error {
	tools := func(f *modfile.File) (names []string) {
		for _, t := range f.Tool {
			names = append(names, t.Path)
		}
		return names
	}
	for _, path := range tools(m.theirs) {
		if !slices.Contains(tools(m.base), path) && !slices.Contains(tools(m.ours), path) {
			if err := m.ours.AddTool(path); err != nil {
				return err
			}
		}
	}
	for _, path := range tools(m.base) {
		if !slices.Contains(tools(m.theirs), path) {
			if err := m.ours.DropTool(path); err != nil {
				return err
			}
		}
	}
	if rest(m.base) != rest(m.theirs) {
		return fmt.Errorf("the templates changed an exclude, retract, ignore or godebug line")
	}
	return nil
}

// rest describes the statements that are merged by lines.
func rest(f *modfile.File) string {
	var b strings.Builder
	for _, e := range f.Exclude {
		fmt.Fprintln(&b, "exclude", e.Mod)
	}
	for _, r := range f.Retract {
		fmt.Fprintln(&b, "retract", r.VersionInterval, r.Rationale)
	}
	for _, i := range f.Ignore {
		fmt.Fprintln(&b, "ignore", i.Path)
	}
	for _, g := range f.Godebug {
		fmt.Fprintln(&b, "godebug", g.Key, g.Value)
	}
	return b.String()
}

package gomod

import (
	"errors"
	"fmt"
	"go/version"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// Into is what becomes of someone's go.mod when the requirements of [Resolve] are
// merged into it.
type Into struct {
	// Mod is the file, and Sums are lines of go.sum that it needs besides those of
	// [Resolve] and their own.
	Mod, Sums []byte
	// Notes tell each change, and each version of theirs that was kept over a
	// lower one.
	Notes []string
	// Complete says that Mod is known to be all that the go command needs. Else
	// only it can say so: their modules are none of the universe's.
	Complete bool
	// Go is the version on its go line.
	Go string
}

// Finish looks at theirs, a go.mod, with ours, the requirements of what is added,
// merged into it: the higher version of each. It raises those that the others then
// require, as far as that is known without the network (cached says what a module
// cache has), tells the changes, takes out a toolchain line that the go line has
// outgrown, and refuses what can't work.
func Finish(theirs, merged, ours []byte, cached func(path, version string) Known) (*Into, error) {
	u, err := Embedded()
	if err != nil {
		return nil, err
	}
	before, err := modfile.Parse("go.mod", theirs, nil)
	if err != nil {
		return nil, err
	}
	after, err := modfile.Parse("go.mod", merged, nil)
	if err != nil {
		return nil, err
	}
	added, err := modfile.Parse("go.mod", ours, nil)
	if err != nil {
		return nil, err
	}
	in := &Into{Go: after.Go.Version}
	if err := in.refuse(before, after, added); err != nil {
		return nil, err
	}
	in.goLine(before, after)
	raised, sums, err := u.raise(after, cached)
	if err != nil {
		return nil, err
	}
	in.Sums = sums
	in.requirements(before, after, added, raised)
	for _, r := range before.Replace {
		for _, q := range added.Require {
			if q.Mod.Path == r.Old.Path && (r.Old.Version == "" || r.Old.Version == q.Mod.Version) {
				in.notef("%s: your replace wins: it is built from %s, which the patterns were not tested with", r.Old.Path, r.New)
			}
		}
	}
	in.Mod = merged
	drop := after.Toolchain != nil && version.Compare(after.Toolchain.Name, "go"+in.Go) < 0
	if drop {
		in.notef("toolchain: %s is taken out, since go %s asks for more", after.Toolchain.Name, in.Go)
		after.DropToolchainStmt()
	}
	if drop || len(raised) > 0 {
		after.Cleanup()
		if in.Mod, err = after.Format(); err != nil {
			return nil, err
		}
	}
	known := make(map[string]string)
	for _, r := range added.Require {
		known[r.Mod.Path] = r.Mod.Version
	}
	in.Complete = !slices.ContainsFunc(after.Require, func(r *modfile.Require) bool { return known[r.Mod.Path] != r.Mod.Version })
	return in, nil
}

func (in *Into) notef(format string, args ...any) {
	in.Notes = append(in.Notes, fmt.Sprintf(format, args...))
}

// refuse reports why the go command would not take the merged file.
func (in *Into) refuse(before, after, added *modfile.File) error {
	needed := make(map[string]bool)
	for _, r := range added.Require {
		needed[r.Mod.Path] = true
	}
	for _, r := range after.Require {
		for _, e := range before.Exclude {
			if needed[r.Mod.Path] && e.Mod == r.Mod {
				return fmt.Errorf("go.mod: excludes %s, which the patterns are tested with: take the exclude line out, or require a higher version of it, then run this again", e.Mod)
			}
		}
	}
	const pruned = "1.17"
	if len(before.Require) > 0 && (before.Go == nil || version.Compare("go"+before.Go.Version, "go"+pruned) < 0) {
		return errors.New("go.mod: its go line is below " + pruned + ", so it does not list what your requirements require: run `go mod tidy -go=" + pruned + "`, see that your tests pass, then run this again")
	}
	return nil
}

func (in *Into) goLine(before, after *modfile.File) {
	was := ""
	if before.Go != nil {
		was = before.Go.Version
	}
	if was == in.Go || was == "" {
		return
	}
	note := fmt.Sprintf("go: %s is raised to %s, which the patterns need", was, in.Go)
	if version.Compare("go"+was, "go1.22") < 0 {
		note += "; from 1.22 on, each turn of a for loop has variables of its own, and net/http's patterns take methods and wildcards"
	}
	if version.Compare("go"+was, "go1.24") < 0 {
		note += "; from 1.24 on, go vet, which go test runs, refuses fmt.Printf(text) with no constant format"
	}
	in.Notes = append(in.Notes, note)
}

// requirements tells the changes of versions, and how many requirements are new.
func (in *Into) requirements(before, after, added *modfile.File, raised map[string]string) {
	was, is := make(map[string]string), make(map[string]string)
	for _, r := range before.Require {
		was[r.Mod.Path] = r.Mod.Version
	}
	for _, r := range after.Require {
		is[r.Mod.Path] = r.Mod.Version
	}
	var direct []string
	indirect := 0
	ours := make(map[string]bool)
	for _, r := range added.Require {
		path, v := r.Mod.Path, r.Mod.Version
		ours[path] = true
		switch old, there := was[path]; {
		case !there && r.Indirect:
			indirect++
		case !there:
			direct = append(direct, path+" "+v)
		case semver.Compare(old, v) > 0:
			in.notef("%s: your %s is kept, above the %s that the patterns are tested with", path, old, v)
		case old != is[path]:
			in.notef("%s: %s is raised to %s", path, old, is[path])
		}
	}
	for _, path := range slices.Sorted(maps.Keys(raised)) {
		if !ours[path] {
			in.notef("%s: %s is raised to %s, which others require", path, was[path], raised[path])
		}
	}
	if len(direct) > 0 {
		in.notef("new: %s", strings.Join(direct, ", "))
	}
	if indirect > 0 {
		in.notef("new, indirect: %d modules", indirect)
	}
}

// GoLower reports whether go line v is below w.
func GoLower(v, w string) bool { return version.Compare("go"+v, "go"+w) < 0 }

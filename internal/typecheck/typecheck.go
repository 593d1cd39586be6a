// Package typecheck says whether packages would type-check if some files were
// others, before those are written.
//
// It has the go command compile them with an overlay (see `go help build`), so it
// needs one, and the packages' dependencies in the module cache: it never uses
// the network. It writes nothing to the repository.
package typecheck

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// A Problem is one error of the type checker.
type Problem struct {
	File string // slash-separated, below the root
	Line int    // from 1
	Text string
	// Before says that the package had problems before: that it has this one tells
	// nothing of what changes.
	Before bool
}

func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// An UnavailableError says why nothing can be said.
type UnavailableError struct{ Why string }

func (e *UnavailableError) Error() string { return e.Why }

// Check type-checks the packages in the directories dirs, slash-separated below
// root, with their tests, as if each file of after stood at its path, and none
// where it is nil; and once more with each list of build tags, joined by commas, of
// which a file in one of dirs speaks. It returns the first problems of each package, as
// many as the go command tells. The error is an [*UnavailableError] where the go
// command is missing or can't load the packages, if only with some tags, and that of
// ctx when it ends; the problems are those that were found all the same.
func Check(ctx context.Context, root string, dirs []string, after map[string]*tree.File, tags ...string) ([]Problem, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, &UnavailableError{"there is no go command"}
	}
	root, err := filepath.Abs(root)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "scaffold-typecheck-*")
	if err != nil {
		return nil, &UnavailableError{err.Error()}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, copies, err := write(dir, root, after)
	if err != nil {
		return nil, &UnavailableError{err.Error()}
	}
	var all []Problem
	var unavailable *UnavailableError
	runs := []string{""}
	for _, list := range tags {
		if !slices.Contains(runs, list) && speaks(root, dirs, after, list) {
			runs = append(runs, list)
		}
	}
	for _, list := range runs {
		fresh, err := became(ctx, root, dirs, after, copies, overlay, list)
		if lacks := new(UnavailableError); list != "" && errors.As(err, &lacks) {
			unavailable = cmp.Or(unavailable, &UnavailableError{"-tags=" + list + ": " + lacks.Why})
		} else if err != nil {
			return all, err
		}
		for _, p := range fresh {
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	if unavailable != nil {
		return all, unavailable
	}
	return all, nil
}

// became returns the problems that packages have with the overlay. The go command tells
// but the first of a package, so what was broken says nothing about what became of it.
func became(ctx context.Context, root string, dirs []string, after map[string]*tree.File, copies *strings.Replacer, overlay, tags string) ([]Problem, error) {
	var flags []string // GOFLAGS may have others
	if tags != "" {
		flags = []string{"-tags=" + tags}
	}
	problems, err := compile(ctx, root, built(root, dirs, after, tags), copies, append([]string{"-overlay=" + overlay}, flags...)...)
	if err != nil || len(problems) == 0 {
		return nil, err
	}
	before, err := compile(ctx, root, built(root, dirs, nil, tags), strings.NewReplacer(), flags...)
	if err != nil {
		return nil, err
	}
	for i, p := range problems {
		problems[i].Before = slices.ContainsFunc(before, func(b Problem) bool { return path.Dir(b.File) == path.Dir(p.File) })
	}
	return problems, nil
}

// write writes the files into dir, and the list of what they stand for, whose
// name it returns, with what puts the paths of the files where the go command
// names the copies.
func write(dir, root string, after map[string]*tree.File) (name string, copies *strings.Replacer, err error) {
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", nil, err
	}
	var names []string // old, new, ...
	var overlay struct{ Replace map[string]string }
	overlay.Replace = make(map[string]string, len(after))
	for name, f := range after {
		at := filepath.Join(root, filepath.FromSlash(name))
		if f == nil {
			overlay.Replace[at] = ""
			continue
		}
		// No copy's name begins with another's: they are replaced in what is told.
		copied := filepath.Join(dir, strconv.Itoa(len(overlay.Replace))+"-"+path.Ext(name))
		if err := os.WriteFile(copied, f.Data, 0o600); err != nil {
			return "", nil, err
		}
		overlay.Replace[at] = copied
		if near, err := filepath.Rel(root, copied); err == nil {
			names = append(names, near, name)
		}
		names = append(names, copied, name)
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", nil, err
	}
	name = filepath.Join(dir, "overlay.json")
	return name, strings.NewReplacer(names...), os.WriteFile(name, text, 0o600)
}

// problem is how the go command and the compiler write one.
var problem = regexp.MustCompile(`^(?:.*?: )?([^:\s]+\.go):(\d+)(?::\d+)?: (.*)$`)

// mixed is how the go command writes that a folder has files of two packages.
var mixed = regexp.MustCompile(`found packages \S+ \(\S+\) and \S+ \((\S+\.go)\) in (\S+)$`)

// lacking is how it writes that a package is not there.
var lacking = regexp.MustCompile(`package [^\s:;]+`)

// unloaded are errors with a position that come from what is at hand, not from
// the code.
var unloaded = []string{
	"module lookup disabled", "no required module provides", "missing go.sum entry", "cannot find module",
	"inconsistent vendoring", "updates to go.mod needed", "cannot query module", "is replaced but not required",
}

// compile has the go command compile the packages and their tests for what they
// export: that links nothing, and, unlike go vet, it does not go into folders
// that are only in the overlay.
func compile(ctx context.Context, root string, dirs []string, names *strings.Replacer, flags ...string) ([]Problem, error) {
	if len(dirs) == 0 {
		return nil, nil
	}
	args := slices.Concat([]string{"list", "-export", "-test", "-f", "{{.ImportPath}}"}, flags)
	// GOFLAGS may say -mod=mod, with which the go command writes go.mod and go.sum.
	if _, err := os.Stat(filepath.Join(root, "vendor", "modules.txt")); err != nil {
		args = append(args, "-mod=readonly")
	}
	for _, dir := range dirs {
		args = append(args, "./"+dir)
	}
	cmd := exec.CommandContext(ctx, "go", args...) // #nosec G204 -- directories of the repository, as arguments
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "PWD="+root, "GOPROXY=off", "GOTOOLCHAIN=local")
	var out, failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failed
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil, nil
	case !errors.As(err, &exit):
		return nil, &UnavailableError{err.Error()}
	}
	return problems(strings.ReplaceAll(names.Replace(failed.String()), root+string(filepath.Separator), ""), own(root))
}

// own is the module's path, with which its own packages begin.
func own(root string) string {
	data, err := os.ReadFile(filepath.Join(root, "go.mod")) //nolint:gosec // the user's own
	if err != nil {
		return ""
	}
	return modfile.ModulePath(data)
}

// problems reads what the go command said.
func problems(text, own string) ([]Problem, error) {
	var found []Problem
	first := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if first == "" && line != "" && !strings.HasPrefix(line, "#") {
			first = line
		}
		missing := slices.ContainsFunc(unloaded, func(text string) bool { return strings.Contains(line, text) })
		lacked, _, _ := strings.Cut(line, " (imported by ")
		if missing && (own == "" || !strings.Contains(lacked, " "+own+"/")) {
			return nil, &UnavailableError{line}
		}
		if m := mixed.FindStringSubmatch(line); m != nil {
			found = append(found, Problem{File: path.Join(filepath.ToSlash(m[2]), m[1]), Line: 1, Text: "is of another package than the files beside it"})
			continue
		}
		m := problem.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		at, err := strconv.Atoi(m[2])
		if err != nil {
			continue
		}
		p := Problem{File: path.Clean(filepath.ToSlash(m[1])), Line: at, Text: m[3]}
		if lacks := lacking.FindString(p.Text); missing && lacks != "" {
			p.Text = lacks + " is not there"
		}
		if !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return nil, &UnavailableError{first}
	}
	return found, nil
}

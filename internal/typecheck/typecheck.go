// Package typecheck says whether packages would type-check if some files were
// others, before those are written.
//
// It asks the go command (go vet, with an overlay: see `go help build`), so it
// needs one, and the packages' dependencies in the module cache: it never uses
// the network. It writes nothing to the repository.
package typecheck

import (
	"bytes"
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

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// A Problem is one error of the type checker.
type Problem struct {
	File string // slash-separated, below the root
	Line int    // from 1
	Text string
}

func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// An UnavailableError says why nothing can be said.
type UnavailableError struct{ Why string }

func (e *UnavailableError) Error() string { return e.Why }

// Check type-checks the packages in the directories dirs, slash-separated below
// root, with their tests, as if each file of after stood at its path, and none
// where it is nil. It returns the first problems of each package, as many as the
// go command tells; those that are there without after are left out. The error is
// an [*UnavailableError] where the go command is missing or can't load the
// packages, and that of ctx when it ends.
func Check(ctx context.Context, root string, dirs []string, after map[string]*tree.File) ([]Problem, error) {
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
	problems, err := vet(ctx, root, dirs, copies, "-overlay="+overlay)
	if err != nil || len(problems) == 0 {
		return nil, err
	}
	before, err := vet(ctx, root, dirs, strings.NewReplacer())
	if err != nil {
		return nil, err
	}
	// The go command tells but the first of a package, so what was broken says
	// nothing about what became of it.
	var fresh []Problem
	for _, p := range problems {
		if !slices.ContainsFunc(before, func(b Problem) bool { return path.Dir(b.File) == path.Dir(p.File) }) {
			fresh = append(fresh, p)
		}
	}
	return fresh, nil
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
		copied := filepath.Join(dir, strconv.Itoa(len(overlay.Replace))+path.Ext(name))
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

// problem is how the go command and the type checker write one.
var problem = regexp.MustCompile(`^(?:vet: )?([^:\s][^:]*\.go):(\d+)(?::\d+)?: (.*)$`)

// unloaded are errors with a position that come from what is at hand, not from
// the code.
var unloaded = []string{
	"module lookup disabled", "no required module provides", "missing go.sum entry", "cannot find module",
	"inconsistent vendoring", "updates to go.mod needed", "cannot query module", "is replaced but not required",
}

// vet runs go vet with one analyzer, which costs next to nothing beside loading.
func vet(ctx context.Context, root string, dirs []string, names *strings.Replacer, flags ...string) ([]Problem, error) {
	args := slices.Concat([]string{"vet", "-atomic"}, flags)
	for _, dir := range dirs {
		args = append(args, "./"+dir)
	}
	cmd := exec.CommandContext(ctx, "go", args...) // #nosec G204 -- directories of the repository, as arguments
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "PWD="+root, "GOPROXY=off", "GOTOOLCHAIN=local")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
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
	var problems []Problem
	first := ""
	for line := range strings.Lines(names.Replace(out.String())) {
		line = strings.TrimSpace(line)
		if first == "" && line != "" && !strings.HasPrefix(line, "#") {
			first = line
		}
		if slices.ContainsFunc(unloaded, func(text string) bool { return strings.Contains(line, text) }) {
			return nil, &UnavailableError{line}
		}
		if m := problem.FindStringSubmatch(line); m != nil {
			at, err := strconv.Atoi(m[2])
			if err != nil {
				continue
			}
			p := Problem{File: path.Clean(filepath.ToSlash(m[1])), Line: at, Text: m[3]}
			if !slices.Contains(problems, p) {
				problems = append(problems, p)
			}
		}
	}
	if len(problems) == 0 {
		return nil, &UnavailableError{"go vet: " + first}
	}
	return problems, nil
}

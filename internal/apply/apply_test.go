package apply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

func file(text string) *tree.File    { return &tree.File{Data: []byte(text)} }
func program(text string) *tree.File { return &tree.File{Data: []byte(text), Exec: true} }

func ch(p string, before, after *tree.File) Change {
	return Change{Path: p, Before: before, After: after}
}

// snapshot is all that stands below dir: mode and content of each file, mode of
// each directory, target of each link.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		var what string
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			what = string(data)
		case info.Mode()&fs.ModeSymlink != 0:
			what, err = os.Readlink(p)
			if err != nil {
				return err
			}
		}
		got[filepath.ToSlash(rel)] = fmt.Sprintf("%v %s", info.Mode(), what)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// put writes a file of the owner's, with exactly perm.
func put(t testing.TB, dir, p, text string, perm fs.FileMode) {
	t.Helper()
	p = filepath.Join(dir, filepath.FromSlash(p))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), perm); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p, perm); err != nil {
		t.Fatal(err)
	}
}

// owner makes a repository as its owner left it.
func owner(t testing.TB, dir string) {
	t.Helper()
	put(t, dir, "cmd/orders/app.go", "package main // 1\n", 0o644)
	put(t, dir, "cmd/orders/main.go", "package main\n", 0o600)
	put(t, dir, "go.mod", "module orders\n", 0o664)
	put(t, dir, "scripts/run", "#!/bin/sh\n", 0o644)
	put(t, dir, "internal/old/deep/old.go", "package deep\n", 0o640)
	put(t, dir, "internal/old/old.go", "package old\n", 0o644)
	put(t, dir, "mine.txt", "mine\n", 0o444)
	put(t, dir, ".git/HEAD", "ref: refs/heads/main\n", 0o644)
	put(t, dir, ".scaffold/base/go.mod.base", "module orders\n", 0o644)
	if err := os.Chmod(filepath.Join(dir, "internal/old/deep"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// everyKind is a change of every kind to what owner makes.
func everyKind() []Change {
	return []Change{
		ch("go.mod", file("module orders\n"), file("module orders\n\ngo 1.26\n")),
		ch(".scaffold/base/go.mod.base", file("module orders\n"), file("module orders\n\ngo 1.26\n")),
		ch(".scaffold/base/internal/dlq/dlq.go.base", nil, file("package dlq\n")),
		ch("cmd/orders/app.go", file("package main // 1\n"), file("package main // 2\n")),
		ch("cmd/orders/main.go", file("package main\n"), file("package main\n")),
		ch("cmd/orders/dlq.go", nil, file("package main // dlq\n")),
		ch("internal/dlq/dlq.go", nil, file("package dlq\n")),
		ch("internal/dlq/testdata/empty", nil, file("")),
		ch("scripts/run", file("#!/bin/sh\n"), program("#!/bin/sh\n")),
		ch("scripts/new", nil, program("#!/bin/sh\n")),
		ch("internal/old/deep/old.go", file("package deep\n"), nil),
		ch("internal/old/old.go", file("package old\n"), nil),
		ch("never", nil, nil),
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner(t, dir)
	before := snapshot(t, dir)
	if err := Apply(t.Context(), dir, everyKind()); err != nil {
		t.Fatal(err)
	}
	want := before
	for p, what := range map[string]string{
		"go.mod":                                  "-rw-rw-r-- module orders\n\ngo 1.26\n",
		".scaffold/base/go.mod.base":              "-rw-r--r-- module orders\n\ngo 1.26\n",
		".scaffold/base/internal":                 "drwxr-xr-x ",
		".scaffold/base/internal/dlq":             "drwxr-xr-x ",
		".scaffold/base/internal/dlq/dlq.go.base": "-rw-r--r-- package dlq\n",
		"cmd/orders/app.go":                       "-rw-r--r-- package main // 2\n",
		"cmd/orders/dlq.go":                       "-rw-r--r-- package main // dlq\n",
		"internal/dlq":                            "drwxr-xr-x ",
		"internal/dlq/dlq.go":                     "-rw-r--r-- package dlq\n",
		"internal/dlq/testdata":                   "drwxr-xr-x ",
		"internal/dlq/testdata/empty":             "-rw-r--r-- ",
		"scripts/run":                             "-rwxr-xr-x #!/bin/sh\n",
		"scripts/new":                             "-rwxr-xr-x #!/bin/sh\n",
	} {
		want[p] = what
	}
	for _, p := range []string{"internal/old", "internal/old/old.go", "internal/old/deep", "internal/old/deep/old.go"} {
		delete(want, p)
	}
	if diff := cmp.Diff(want, snapshot(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestApplyMakesTheRoot(t *testing.T) {
	t.Parallel()
	for _, sub := range []string{"orders", "a/b/orders"} {
		t.Run(sub, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			changes := []Change{
				ch("go.mod", nil, file("module orders\n")),
				ch("scripts/run", nil, program("#!/bin/sh\n")),
				ch("gone", nil, nil),
			}
			if err := Apply(t.Context(), filepath.Join(dir, filepath.FromSlash(sub)), changes); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{".": snapshot(t, dir)["."]}
			for p := sub; p != "."; p = parent(p) {
				want[p] = "drwxr-xr-x "
			}
			want[sub+"/go.mod"] = "-rw-r--r-- module orders\n"
			want[sub+"/scripts"] = "drwxr-xr-x "
			want[sub+"/scripts/run"] = "-rwxr-xr-x #!/bin/sh\n"
			if diff := cmp.Diff(want, snapshot(t, dir)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	before := tree.Tree{"same": *file("1"), "mode": *file("1"), "gone": *file("1"), "text": *file("1")}
	after := tree.Tree{"same": *file("1"), "mode": *program("1"), "new": *file("1"), "text": *file("2")}
	want := []Change{
		ch("gone", file("1"), nil),
		ch("mode", file("1"), program("1")),
		ch("new", nil, file("1")),
		ch("text", file("1"), file("2")),
	}
	if diff := cmp.Diff(want, Diff(before, after)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	symlink := func(to, at string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Symlink(to, filepath.Join(dir, at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	one := func(p string) []Change { return []Change{ch(p, nil, file("x"))} }
	for _, tt := range []struct {
		name    string
		setup   func(t *testing.T, dir string)
		changes []Change
		want    string
	}{
		{"above the root", nil, one("../x"), `"../x": not a clean path`},
		{"absolute", nil, one("/etc/x"), `"/etc/x": not a clean path`},
		{"drive letter", nil, one("c:/x"), `Windows refuses`},
		{"device", nil, one("docs/NUL.md"), `device name`},
		{"git", nil, one(".git/hooks/pre-commit"), `belongs to git`},
		{"git in upper case", nil, one("x/.Git/config"), `belongs to git`},
		{"the stage", nil, one(".scaffold/stage/journal"), `is where changes are staged`},
		{"the stage in upper case", nil, one(".Scaffold/Done/x"), `is where changes are staged`},
		{"twice", nil, append(one("x"), one("x")...), `x: is changed twice`},
		{"case collision in the change", nil, append(one("Docs/x"), one("docs/X")...), `differs from Docs/x only in upper and lower case`},
		{"case collision on disk", nil, one("GO.MOD"), `GO.MOD: differs from go.mod, which exists, only in`},
		{"case collision of directories", nil, one("CMD/x"), `CMD/x: differs from cmd, which exists, only in`},
		{"case collision of new directories", nil, append(one("new/x"), one("New/y")...), `only in upper and lower case`},
		{"file below a file of the change", nil, append(one("x"), one("X/y")...), `is a file, so nothing can stand below it`},
		{"file below a file", nil, one("go.mod/x"), `go.mod: is a file where a directory should be`},
		{"directory in the place", nil, one("cmd"), `cmd: is a directory where a file should be`},
		{"a file there", nil, one("go.mod"), `go.mod: changed since it was read`},
		{"another content", nil, []Change{ch("go.mod", file("x"), file("y")), ch("mine.txt", file("x"), nil)}, `go.mod, mine.txt: changed since it was read`},
		{"another mode", nil, []Change{ch("go.mod", program("module orders\n"), file("y"))}, `go.mod: changed since`},
		{"gone", nil, []Change{ch("none", file("x"), nil)}, `none: changed since`},
		{"changed, nothing to do", nil, []Change{ch("go.mod", file("x"), file("x"))}, `go.mod: changed since`},
		{"read-only", nil, []Change{ch("mine.txt", file("mine\n"), file("yours\n"))}, `mine.txt: is read-only`},
		{"read-only, deleted", nil, []Change{ch("mine.txt", file("mine\n"), nil)}, `mine.txt: is read-only`},
		{"link out", symlink("../out", "x"), one("x"), `x: is a symbolic link that leads out of the repository (to "../out")`},
		{"absolute link", symlink("/tmp", "d"), one("d/x"), `d: is a symbolic link that leads out of the repository (to "/tmp")`},
		{"link inside", symlink("go.mod", "x"), one("x"), `x: is a symbolic link that leads elsewhere in the repository`},
		{"link to git", symlink(".git", "d"), one("d/config"), `d: is a symbolic link`},
		{"dangling link", symlink("nowhere", "x"), one("x"), `x: is a symbolic link`},
		{"link over a directory", symlink("cmd", "d"), one("d/orders/app.go"), `d: is a symbolic link`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			dir := filepath.Join(top, "repo")
			put(t, top, "out", "secret", 0o644)
			owner(t, dir)
			if tt.setup != nil {
				tt.setup(t, dir)
			}
			before := snapshot(t, top)
			err := Apply(t.Context(), dir, append(tt.changes, ch("added", nil, file("x"))))
			if err == nil {
				t.Fatal("done")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want %q", err, tt.want)
			}
			if diff := cmp.Diff(before, snapshot(t, top)); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

func TestApplyWithoutChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner(t, dir)
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, changes := range [][]Change{nil, {ch("go.mod", file("module orders\n"), file("module orders\n"))}} {
		if err := Apply(t.Context(), dir, changes); err != nil {
			t.Fatal(err)
		}
	}
	after, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !after.ModTime().Equal(info.ModTime()) {
		t.Error("wrote to the directory")
	}
}

func TestApplyCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	owner(t, dir)
	before := snapshot(t, dir)
	if err := Apply(ctx, dir, everyKind()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := Apply(ctx, filepath.Join(dir, "new"), []Change{ch("x", nil, file("x"))}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

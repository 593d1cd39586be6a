//go:build unix

package worktree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

func setup(t *testing.T) (root string) {
	t.Helper()
	top := t.TempDir()
	root = filepath.Join(top, "repo")
	for p, perm := range map[string]fs.FileMode{
		"out/secret": 0o644, "repo/go.mod": 0o644, "repo/cmd/a/main.go": 0o600, "repo/scripts/run": 0o755, "repo/odd": 0o611,
	} {
		p = filepath.Join(top, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(filepath.Base(p)), perm); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestRead(t *testing.T) {
	t.Parallel()
	root := setup(t)
	recorded := tree.Tree{"scripts/run": {Exec: true}}
	got, err := Read(root, []string{"go.mod", "cmd/a/main.go", "scripts/run", "odd", "none", "no/such/file"}, recorded)
	if err != nil {
		t.Fatal(err)
	}
	want := tree.Tree{
		"go.mod":        {Data: []byte("go.mod")},
		"cmd/a/main.go": {Data: []byte("main.go")},
		"odd":           {Data: []byte("odd")},
		"scripts/run":   {Data: []byte("run"), Exec: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What may be read beside a file is regular, of a size that people write, and in the
// repository.
func TestBeside(t *testing.T) {
	t.Parallel()
	root := setup(t)
	for _, err := range []error{
		os.Symlink("../../../out/secret", filepath.Join(root, "cmd/a/link.go")),
		os.Symlink("cmd", filepath.Join(root, "linked")),
		os.Mkdir(filepath.Join(root, "cmd/a/dir.go"), 0o755),
		os.WriteFile(filepath.Join(root, "cmd/a/large.go"), make([]byte, 2<<20), 0o600),
		os.WriteFile(filepath.Join(root, "cmd/a/other.go"), []byte("other"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	paths := []string{"cmd/a/gone.go", "none/gone.go", "linked/a/gone.go", "../out/gone", "gone"}
	got := Beside(root, paths, func(p, other string) bool { return filepath.Ext(p) == filepath.Ext(other) && other != "odd" })
	want := tree.Tree{"cmd/a/main.go": {Data: []byte("main.go")}, "cmd/a/other.go": {Data: []byte("other"), Exec: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Beside(filepath.Join(root, "none"), paths, nil); len(got) > 0 {
		t.Errorf("without a root: %v", got)
	}
}

func TestReadWithoutRoot(t *testing.T) {
	t.Parallel()
	got, err := Read(filepath.Join(t.TempDir(), "a/b"), []string{"go.mod"}, nil)
	if err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// The root itself may be a link: it is the user's word for where to work.
func TestReadRootByLink(t *testing.T) {
	t.Parallel()
	root := setup(t)
	link := root + "-link"
	if err := os.Symlink("repo", link); err != nil {
		t.Fatal(err)
	}
	got, err := Read(link, []string{"go.mod"}, nil)
	if err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	link := func(to, at string) func(string) error {
		return func(root string) error { return os.Symlink(to, filepath.Join(root, at)) }
	}
	for _, tt := range []struct {
		name  string
		setup func(root string) error
		path  string
		want  string
	}{
		{"above", nil, "../out/secret", `"../out/secret": not a clean path`},
		{"absolute", nil, "/etc/passwd", `"/etc/passwd": not a clean path`},
		{"git", nil, ".git/config", "belongs to git"},
		{"directory", nil, "cmd", "cmd: is a directory where a file should be"},
		{"below a file", nil, "go.mod/x/y", "go.mod: is a file where a directory should be"},
		{"link out", link("../out/secret", "x"), "x", `x: is a symbolic link that leads out of the repository (to "../out/secret")`},
		{"link out of a directory", link("../../out/secret", "cmd/x"), "cmd/x", `cmd/x: is a symbolic link that leads out of the repository`},
		{"link to a directory out", link("../out", "d"), "d/secret", `d: is a symbolic link that leads out of the repository`},
		{"absolute link", link("/etc", "d"), "d/passwd", `d: is a symbolic link that leads out of the repository`},
		{"link inside", link("go.mod", "x"), "x", `x: is a symbolic link that leads elsewhere in the repository (to "go.mod")`},
		{"link inside by the parent", link("../go.mod", "cmd/x"), "cmd/x", `cmd/x: is a symbolic link that leads elsewhere in the repository`},
		{"dangling", link("none", "x"), "x", `x: is a symbolic link that leads elsewhere`},
		{"loop", link("x", "x"), "x/y", `x: is a symbolic link`},
		{"pipe", func(root string) error { return syscall.Mkfifo(filepath.Join(root, "p"), 0o600) }, "p", `p: is no regular file`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := setup(t)
			if tt.setup != nil {
				if err := tt.setup(root); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Read(root, []string{"go.mod", tt.path}, nil)
			if err == nil {
				t.Fatalf("read: %v", got)
			}
			if errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}

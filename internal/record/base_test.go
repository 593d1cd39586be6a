package record

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

var exampleBase = tree.Tree{
	"go.mod":                   {Data: []byte("module acme.com/orders\n")},
	".gitignore":               {Data: []byte("*.base\n/data\n")},
	"scripts/run":              {Data: []byte("#!/bin/sh\r\necho $Id$\n"), Exec: true},
	"cmd/orders/app.go":        {Data: []byte("package main\n\nvar parts = []string{\n\t\"base\",\n\t\"last\",\n}\n")},
	".github/workflows/ci.yml": {Data: []byte("on: push\n")},
	"a.base":                   {Data: nil},
}

func writeTree(t *testing.T, root string, files tree.Tree) {
	t.Helper()
	for p, f := range files {
		p = filepath.Join(root, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, f.Data, f.Mode()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBaseRoundTrip(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	writeTree(t, root, Files(exampleBase))
	r, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	got, err := BaseTree(r.FS())
	if err != nil {
		t.Fatal(err)
	}
	if !got.Equal(exampleBase) {
		t.Error(cmp.Diff(exampleBase, got))
	}
}

// No tool may take a recorded file for a real one.
func TestRecordedNames(t *testing.T) {
	t.Parallel()
	for p, f := range Files(exampleBase) {
		if err := tree.CheckPath(p); err != nil {
			t.Error(err)
		}
		if f.Exec {
			t.Errorf("%s is executable", p)
		}
		if _, ok := fixed[p]; !ok && !strings.HasSuffix(p, ".base") && !strings.HasSuffix(p, ".xbase") {
			t.Errorf("%s has the name of a real file", p)
		}
	}
}

func TestBaseTreeWithoutRecord(t *testing.T) {
	t.Parallel()
	_, err := BaseTree(fstest.MapFS{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "git checkout") {
		t.Errorf("error %v", err)
	}
}

func TestBaseTreeRefuses(t *testing.T) {
	t.Parallel()
	file := func() *fstest.MapFile { return &fstest.MapFile{Data: []byte("x")} }
	link := func(to string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink} }
	for _, tt := range []struct {
		name string
		fsys fstest.MapFS
		want string
	}{
		{"the record is a link", fstest.MapFS{".scaffold": link(".git"), ".git/base/a.base": file()}, ".scaffold: is no directory"},
		{"the base is a link", fstest.MapFS{".scaffold/base": link("../../out")}, ".scaffold/base: is no directory"},
		{"the record is a file", fstest.MapFS{".scaffold": file()}, ".scaffold"},
		{"a link to a file", fstest.MapFS{".scaffold/base/a.base": link("/etc/passwd")}, "a.base: is no regular file"},
		{"a link to a directory", fstest.MapFS{".scaffold/base/d": link("/etc")}, "base/d: is no regular file"},
		{"a device", fstest.MapFS{".scaffold/base/a.base": {Mode: fs.ModeDevice}}, "a.base: is no regular file"},
		{"git", fstest.MapFS{".scaffold/base/.git/hooks/pre-commit.base": file()}, "belongs to git"},
		{"git in upper case", fstest.MapFS{".scaffold/base/x/.GIT/config.base": file()}, "belongs to git"},
		{"the record in the record", fstest.MapFS{".scaffold/base/.Scaffold/stage/journal.base": file()}, "a record of the record"},
		{"device name", fstest.MapFS{".scaffold/base/con.base": file()}, "device name"},
		{"device name of a directory", fstest.MapFS{".scaffold/base/nul/x.base": file()}, "device name"},
		{"drive letter", fstest.MapFS{".scaffold/base/c:/x.base": file()}, "Windows refuses"},
		{"backslash", fstest.MapFS{`.scaffold/base/..\x.base`: file()}, "a backslash"},
		{"dots", fstest.MapFS{".scaffold/base/...base": file()}, "can't be the record"},
		{"no name", fstest.MapFS{".scaffold/base/.base": file()}, "empty path"},
		{"no name in a directory", fstest.MapFS{".scaffold/base/d/.base": file()}, "not a clean path"},
		{"trailing dot", fstest.MapFS{".scaffold/base/a..base": file()}, "ends with a dot"},
		{"another file", fstest.MapFS{".scaffold/base/a.go": file()}, "is not of scaffold's making"},
		{"case collision", fstest.MapFS{".scaffold/base/a.base": file(), ".scaffold/base/A.base": file()}, "stands for the same file"},
		{"both modes", fstest.MapFS{".scaffold/base/a.base": file(), ".scaffold/base/a.xbase": file()}, "stands for the same file"},
		{"file and directory", fstest.MapFS{".scaffold/base/a.base": file(), ".scaffold/base/A/b/c.base": file()}, "as a file and as a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := BaseTree(tt.fsys)
			if err == nil {
				t.Fatalf("taken: %v", got.Paths())
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}

// repo is a git repository for a test, which no configuration of the machine
// reaches.
type repo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T) repo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatalf("git is needed: %v", err)
	}
	r := repo{t, t.TempDir()}
	r.git("init", "-q", "-b", "main")
	return r
}

func (r repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (r repo) commit(base tree.Tree) {
	r.t.Helper()
	if err := os.RemoveAll(filepath.Join(r.dir, Dir)); err != nil {
		r.t.Fatal(err)
	}
	writeTree(r.t, r.dir, Files(base))
	r.git("add", "-A")
	r.git("commit", "-q", "-m", "a change")
}

// Two branches that each add a pattern: files of their own, a line in the same
// place of a shared file, and the same new file with different content.
func TestBranchesMergeWithoutConflict(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.commit(exampleBase)
	add := func(name string) tree.Tree {
		b := exampleBase.Clone()
		b["cmd/orders/app.go"] = tree.File{Data: []byte("package main\n\nvar parts = []string{\n\t\"base\",\n\t\"" + name + "\",\n\t\"last\",\n}\n")}
		b["go.mod"] = tree.File{Data: []byte("module acme.com/orders\n\nrequire acme.com/" + name + " v1.0.0\n")}
		b["internal/"+name+"/"+name+".go"] = tree.File{Data: []byte("package " + name + "\n")}
		b["shared.md"] = tree.File{Data: []byte("# Shared\n\nby " + name + "\n")}
		return b
	}
	for _, name := range []string{"dlq", "sse"} {
		r.git("checkout", "-q", "-b", name, "main")
		r.commit(add(name))
	}
	r.git("merge", "-q", "-m", "both", "dlq")
	got, err := BaseTree(os.DirFS(r.dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dlq", "sse"} {
		for _, p := range []string{"cmd/orders/app.go", "go.mod", "internal/" + name + "/" + name + ".go", "shared.md"} {
			if !bytes.Contains(got[p].Data, []byte(name)) {
				t.Errorf("%s lost what %s added:\n%s", p, name, got[p].Data)
			}
			if bytes.Contains(got[p].Data, []byte("<<<<")) {
				t.Errorf("%s holds a conflict", p)
			}
		}
	}
	if n := bytes.Count(got["cmd/orders/app.go"].Data, []byte("package main")); n != 1 {
		t.Errorf("the shared lines stand %d times:\n%s", n, got["cmd/orders/app.go"].Data)
	}
}

// However a machine and a repository are set, what is checked out is what was
// written.
func TestGitAltersNoByte(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.git("config", "core.autocrlf", "true")
	r.git("config", "core.eol", "crlf")
	r.git("config", "core.fileMode", "false")
	r.git("config", "filter.upper.clean", "tr a-z A-Z")
	r.git("config", "filter.upper.smudge", "tr a-z A-Z")
	writeTree(t, r.dir, tree.Tree{".gitattributes": {Data: []byte(".scaffold/** text=auto eol=crlf ident filter=upper working-tree-encoding=UTF-16\n")}})
	writeTree(t, r.dir, tree.Tree{".gitignore": {Data: []byte("*.md\n*.base\nscripts/\n")}})
	r.commit(exampleBase)
	if err := os.RemoveAll(filepath.Join(r.dir, Dir)); err != nil {
		t.Fatal(err)
	}
	r.git("checkout", "-q", "HEAD", "--", Dir)
	got, err := BaseTree(os.DirFS(r.dir))
	if err != nil {
		t.Fatal(err)
	}
	if !got.Equal(exampleBase) {
		t.Error(cmp.Diff(exampleBase, got))
	}
}

package bill_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	modzip "golang.org/x/mod/zip"
	"golang.org/x/tools/txtar"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/gomod/bill"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// A world is a module proxy of made-up modules, by path@version, each with its
// files, and the directory of the bill of materials.
type world struct {
	mods map[module.Version]map[string]string
	bill string
}

// newWorld reads an archive of files named path@version/name, and bill/name for
// the bill of materials. The go command, in this process's environment, sees
// only these modules afterwards.
func newWorld(t *testing.T, archive string) *world {
	t.Helper()
	w := &world{mods: map[module.Version]map[string]string{}, bill: t.TempDir()}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		if name, ok := strings.CutPrefix(f.Name, "bill/"); ok {
			put(t, filepath.Join(w.bill, name), f.Data)
			continue
		}
		modPath, rest, _ := strings.Cut(f.Name, "@")
		v, name, _ := strings.Cut(rest, "/")
		m := module.Version{Path: modPath, Version: v}
		if w.mods[m] == nil {
			w.mods[m] = map[string]string{}
		}
		w.mods[m][name] = string(f.Data)
	}
	w.serve(t)
	return w
}

// serve writes the proxy and points the go command at it.
func (w *world) serve(t *testing.T) {
	t.Helper()
	proxy, cache := t.TempDir(), t.TempDir()
	versions := map[string][]string{}
	for m, files := range w.mods {
		versions[m.Path] = append(versions[m.Path], m.Version)
		base := filepath.Join(proxy, filepath.FromSlash(m.Path), "@v", m.Version)
		put(t, base+".info", fmt.Appendf(nil, `{"Version":%q}`, m.Version))
		put(t, base+".mod", []byte(files["go.mod"]))
		var list []modzip.File
		for name, data := range files {
			list = append(list, zipFile{name, data})
		}
		slices.SortFunc(list, func(a, b modzip.File) int { return strings.Compare(a.Path(), b.Path()) })
		z, err := os.Create(base + ".zip") //nolint:gosec // a temporary directory
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(modzip.Create(z, m, list), z.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for p, list := range versions {
		semver.Sort(list)
		put(t, filepath.Join(proxy, filepath.FromSlash(p), "@v", "list"), []byte(strings.Join(list, "\n")+"\n"))
	}
	t.Setenv("GOPROXY", "file://"+filepath.ToSlash(proxy))
	t.Setenv("GOSUMDB", "off")
	t.Setenv("GOMODCACHE", cache)
	t.Cleanup(func() { // the cache is read-only, which TempDir can't remove
		if out, err := exec.Command("go", "clean", "-modcache").CombinedOutput(); err != nil { // the test's context is done
			t.Errorf("go clean -modcache: %v\n%s", err, out)
		}
	})
}

func put(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

type zipFile struct{ name, data string }

func (f zipFile) Path() string                 { return f.name }
func (f zipFile) Lstat() (fs.FileInfo, error)  { return fileInfo{f}, nil }
func (f zipFile) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.data)), nil }

type fileInfo struct{ zipFile }

func (f fileInfo) Name() string       { return path.Base(f.name) }
func (f fileInfo) Size() int64        { return int64(len(f.data)) }
func (f fileInfo) Mode() fs.FileMode  { return 0o644 }
func (f fileInfo) IsDir() bool        { return false }
func (f fileInfo) ModTime() time.Time { return time.Time{} }
func (f fileInfo) Sys() any           { return nil }

// build makes the universe of imports.
func (w *world) build(t *testing.T, imports ...string) (*gomod.Universe, []bill.Change) {
	t.Helper()
	u, changes, err := bill.Build(t.Context(), w.bill, imports)
	if err != nil {
		t.Fatal(err)
	}
	return u, changes
}

// archiveTree returns an archive's files.
func archiveTree(archive string) tree.Tree {
	t := tree.Tree{}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		t[f.Name] = tree.File{Data: f.Data}
	}
	return t
}

// story is a small world for the rules that the real libraries seldom show.
const story = `
-- bill/go.mod --
module bill.test
go 1.24.0
require (
	w.test/user v1.0.0
	w.test/old v1.0.0
	w.test/newer v1.0.0
	w.test/split/sub v1.0.0
	w.test/late v1.1.0
	w.test/tool v1.0.0
	w.test/fam/child v1.0.0
)
-- w.test/user@v1.0.0/go.mod --
module w.test/user
go 1.22
require (
	w.test/split v1.0.0
	w.test/split/sub v1.0.0
	w.test/late v1.0.0
	w.test/same v1.0.0
	w.test/fam/child v1.0.0
)
-- w.test/user@v1.0.0/user.go --
package user
-- w.test/user@v1.0.0/user_test.go --
package user
import _ "w.test/split/sub/x"
import _ "w.test/late"
import _ "w.test/same"
import _ "w.test/fam/child"
-- w.test/split@v1.0.0/go.mod --
module w.test/split
go 1.22
-- w.test/split@v1.0.0/sub/x/x.go --
package x
-- w.test/split@v1.1.0/go.mod --
module w.test/split
go 1.22
-- w.test/split@v1.1.0/split.go --
package split
-- w.test/split/sub@v1.0.0/go.mod --
module w.test/split/sub
go 1.22
-- w.test/split/sub@v1.0.0/x/x.go --
package x
-- w.test/same@v1.0.0/go.mod --
module w.test/same
go 1.22
-- w.test/same@v1.0.0/same.go --
package same
-- w.test/late@v1.0.0/go.mod --
module w.test/late
go 1.22
-- w.test/late@v1.0.0/late.go --
package late
-- w.test/late@v1.1.0/go.mod --
module w.test/late
go 1.22
-- w.test/late@v1.1.0/late.go --
package late
-- w.test/old@v1.0.0/go.mod --
module w.test/old
go 1.16
require w.test/deep v1.0.0
-- w.test/old@v1.0.0/old.go --
package old
-- w.test/deep@v1.0.0/go.mod --
module w.test/deep
go 1.24.1
require w.test/deeper v1.0.0
require w.test/app v1.0.0
require w.test/fam v1.0.0
-- w.test/deep@v1.0.0/deep.go --
package deep
-- w.test/deeper@v1.0.0/go.mod --
module w.test/deeper
go 1.22
-- w.test/deeper@v1.0.0/deeper.go --
package deeper
-- w.test/app@v1.0.0/go.mod --
module w.test/app
go 1.22
-- w.test/app@v1.0.0/app.go --
package app
-- w.test/newer@v1.0.0/go.mod --
module w.test/newer
go 1.25.0
-- w.test/newer@v1.0.0/newer.go --
package newer
-- w.test/tool@v1.0.0/go.mod --
module w.test/tool
go 1.22
require w.test/user v1.0.0
-- w.test/tool@v1.0.0/cmd/tool/main.go --
package main
import _ "w.test/user"
func main() {}
-- w.test/tool@v1.0.0/lib.go --
package tool
-- w.test/fam@v1.0.0/go.mod --
module w.test/fam
go 1.22
-- w.test/fam@v1.0.0/fam.go --
package fam
-- w.test/fam/child@v1.0.0/go.mod --
module w.test/fam/child
go 1.22
-- w.test/fam/child@v1.0.0/child.go --
package child
-- w.test/fam/child@v1.0.0/in/in.go --
package in
`

// TestStory resolves small services in the made-up world, checks the lines that
// a rule is about, and has the go command judge the whole.
//
// Not parallel: it sets the go command's environment.
func TestStory(t *testing.T) {
	w := newWorld(t, story)
	u, _ := w.build(t, "w.test/user", "w.test/old", "w.test/newer", "w.test/tool", "w.test/tool/cmd/tool",
		"w.test/fam/child", "w.test/fam/child/in", "w.test/split/sub/x")
	for _, tt := range []struct {
		name   string
		module string
		tools  []string
		files  string
		has    []string // of go.mod
		hasNot []string
	}{
		{
			name: "nothing", module: "w.test/svc",
			files: "-- main.go --\npackage main\n",
			has:   []string{"go 1.24.0\n"}, hasNot: []string{"require"},
		},
		{
			name: "a test of a dependency needs a newer module than its go.mod says", module: "w.test/svc",
			files: "-- main.go --\npackage main\nimport _ \"w.test/user\"\n",
			has:   []string{"\tw.test/late v1.1.0 // indirect\n"},
		},
		{
			name: "a package of a dependency's test is in two modules", module: "w.test/svc",
			files: "-- main.go --\npackage main\nimport _ \"w.test/user\"\n",
			has:   []string{"\tw.test/split/sub v1.0.0 // indirect\n"}, hasNot: []string{"w.test/split v"},
		},
		{
			name: "a package in two modules is imported", module: "w.test/svc",
			files: "-- main.go --\npackage main\nimport _ \"w.test/split/sub/x\"\n-- a/a_test.go --\npackage a\nimport _ \"w.test/user\"\n",
			has:   []string{"\tw.test/split/sub v1.0.0\n"}, hasNot: []string{"w.test/split v"},
		},
		{
			name: "the go line of a dependency", module: "w.test/svc",
			files: "-- main.go --\npackage main\nimport _ \"w.test/newer\"\n",
			has:   []string{"go 1.25.0\n"},
		},
		{
			name: "the go line deep below a module without pruning", module: "w.test/svc",
			files: "-- main.go --\npackage main\nimport _ \"w.test/old\"\n",
			has:   []string{"go 1.24.1\n"}, hasNot: []string{"w.test/deep v"},
		},
		{
			name: "required by what it requires", module: "w.test/app",
			files: "-- main.go --\npackage main\nimport _ \"w.test/old\"\n",
			has:   []string{"require w.test/old v1.0.0\n"},
		},
		{
			name: "the module path is the prefix of a dependency's", module: "w.test/fam",
			files: "-- main.go --\npackage main\nimport _ \"w.test/fam/child\"\nimport _ \"w.test/fam/own\"\n-- own/own.go --\npackage own\n",
			has:   []string{"require w.test/fam/child v1.0.0\n"},
		},
		{
			name: "the module path is the prefix of a test dependency's and required below", module: "w.test/fam",
			files:  "-- main.go --\npackage main\nimport _ \"w.test/user\"\nimport _ \"w.test/old\"\n",
			hasNot: []string{"fam/child", "w.test/same"},
		},
		{
			name: "a dependency's path is the prefix of the module path", module: "w.test/fam/child/mine",
			files: "-- main.go --\npackage main\nimport _ \"w.test/fam/child\"\nimport _ \"w.test/fam/child/mine/own\"\n-- own/own.go --\npackage own\n",
			has:   []string{"require w.test/fam/child v1.0.0\n"},
		},
		{
			name: "a tool", module: "w.test/svc", tools: []string{"w.test/tool/cmd/tool"},
			files: "-- main.go --\npackage main\n",
			has:   []string{"tool w.test/tool/cmd/tool\n", "w.test/tool v1.0.0 // indirect", "w.test/user v1.0.0 // indirect", "w.test/late v1.1.0 // indirect"},
		},
		{
			name: "a tool of a module that is imported", module: "w.test/svc", tools: []string{"w.test/tool/cmd/tool", "w.test/svc/cmd/gen"},
			files: "-- main.go --\npackage main\nimport _ \"w.test/tool\"\n-- cmd/gen/main.go --\npackage main\n",
			has:   []string{"w.test/tool v1.0.0\n", "w.test/svc/cmd/gen"},
		},
		{
			name: "directories that don't count", module: "w.test/svc",
			files: `
-- main.go --
package main
-- testdata/a.go --
package a
import _ "w.test/newer"
-- .hidden/a.go --
package a
import _ "w.test/newer"
-- _off/a.go --
package a
import _ "w.test/newer"
-- nested/go.mod --
module w.test/svc/nested
-- nested/deep/a.go --
package a
import _ "w.test/newer"
-- _off.go --
package main
import _ "w.test/newer"
-- ignored/a.go --
//go:build ignore
package main
import _ "w.test/newer"
`,
			hasNot: []string{"require"},
		},
		{
			name: "a directory that counts because it is imported", module: "w.test/svc",
			files: "-- main.go --\npackage main\nimport _ \"w.test/svc/testdata/a\"\n-- testdata/a/a.go --\npackage a\nimport _ \"w.test/newer\"\n",
			has:   []string{"w.test/newer v1.0.0\n"},
		},
		{
			name: "tags and platforms", module: "w.test/svc",
			files: "-- a_windows.go --\n//go:build !cgo && plan9 && never\n\npackage main\nimport _ \"w.test/newer\"\n",
			has:   []string{"w.test/newer v1.0.0\n"},
		},
		{
			name: "the old build tags", module: "w.test/svc",
			files: "-- a.go --\n// +build ignore\n\npackage main\nimport _ \"w.test/newer\"\n-- b.go --\n// +build ignore\npackage main\nimport _ \"w.test/tool\"\n",
			has:   []string{"w.test/tool v1.0.0\n"}, hasNot: []string{"newer"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := archiveTree(tt.files)
			mod, sum, err := u.Resolve(tt.module, files, tt.tools...)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range tt.has {
				if !strings.Contains(string(mod), line) {
					t.Errorf("no %q in:\n%s", line, mod)
				}
			}
			for _, line := range tt.hasNot {
				if strings.Contains(string(mod), line) {
					t.Errorf("%q in:\n%s", line, mod)
				}
			}
			if diff := tidyDiff(t, files, mod, sum); diff != "" {
				t.Errorf("go mod tidy -diff:\n%s", diff)
			}
			noticesLoss(t, files, mod, sum)
		})
	}
}

// noticesLoss checks the judge: the go command must miss each require and each
// line of go.sum.
func noticesLoss(t *testing.T, files tree.Tree, mod, sum []byte) {
	t.Helper()
	for i, short := range without(mod, " v1.") {
		if diff := tidyDiff(t, files, short, sum); diff == "" {
			t.Errorf("require %d is lost without a word:\n%s", i, mod)
		}
	}
	for i, short := range without(sum, " h1:") {
		if diff := tidyDiff(t, files, mod, short); diff == "" {
			t.Errorf("line %d of go.sum is lost without a word:\n%s", i, sum)
		}
	}
}

// without returns the text with one line left out, for each that contains mark.
func without(text []byte, mark string) (list [][]byte) {
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		if strings.Contains(line, mark) {
			list = append(list, []byte(strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "")))
		}
	}
	return list
}

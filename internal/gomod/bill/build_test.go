package bill_test

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/gomod/bill"
)

// TestBuildIsDeterministic builds one universe twice.
//
// Not parallel: it sets the go command's environment.
func TestBuildIsDeterministic(t *testing.T) {
	w := newWorld(t, story)
	one, _ := w.build(t, "w.test/user", "w.test/old", "context")
	two, _ := w.build(t, "context", "w.test/old", "w.test/user")
	if diff := cmp.Diff(string(one.Encode()), string(two.Encode())); diff != "" {
		t.Error(diff)
	}
}

// changing is a bill whose selection rises when a module of a test is made a
// root, and that lacks another one.
const changing = `
-- bill/go.mod --
module bill.test
go 1.22.0
require w.test/user v1.0.0
require w.test/low v1.0.0
-- w.test/user@v1.0.0/go.mod --
module w.test/user
go 1.22
require w.test/late v1.0.0
-- w.test/user@v1.0.0/user.go --
package user
import _ "w.test/low"
-- w.test/user@v1.0.0/user_test.go --
package user
import _ "w.test/late"
import _ "w.test/absent"
-- w.test/late@v1.0.0/go.mod --
module w.test/late
go 1.23.0
require w.test/low v1.1.0
-- w.test/late@v1.0.0/late.go --
package late
-- w.test/absent@v1.0.0/go.mod --
module w.test/absent
-- w.test/absent@v1.0.0/absent.go --
package absent
-- w.test/low@v1.0.0/go.mod --
module w.test/low
go 1.22
-- w.test/low@v1.0.0/low.go --
package low
-- w.test/low@v1.1.0/go.mod --
module w.test/low
go 1.22
-- w.test/low@v1.1.0/low.go --
package low
`

// Not parallel: it sets the go command's environment.
func TestBuildTellsChanges(t *testing.T) {
	w := newWorld(t, changing)
	u, changes := w.build(t, "w.test/user")
	want := []bill.Change{
		{Path: "go", From: "1.22.0", To: "1.23.0"},
		{Path: "w.test/absent", To: "v1.0.0", ByTidy: true, TestOnly: true},
		{Path: "w.test/low", From: "v1.0.0", To: "v1.1.0"},
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if got, want := changes[2].String(), "w.test/low: the bill has v1.0.0, the imports need v1.1.0: run `go get w.test/low@v1.1.0`"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	files := archiveTree("-- a.go --\npackage a\nimport _ \"w.test/user\"\n")
	mod, sum, err := u.Resolve("w.test/svc", files)
	if err != nil {
		t.Fatal(err)
	}
	if diff := tidyDiff(t, files, mod, sum); diff != "" {
		t.Errorf("go mod tidy -diff:\n%s", diff)
	}
}

// Not parallel: it sets the go command's environment.
func TestBuildErrors(t *testing.T) {
	for name, tt := range map[string]struct{ archive, imp, want string }{
		"replace":    {"-- bill/go.mod --\nmodule bill.test\ngo 1.24\nreplace w.test/a => ../a\n", "w.test/a", "replace"},
		"no such":    {"-- bill/go.mod --\nmodule bill.test\ngo 1.24\n", "w.test/a", "w.test/a"},
		"no go.mod":  {"-- bill/README --\n", "w.test/a", "go.mod"},
		"no go line": {"-- bill/go.mod --\nmodule bill.test\n", "w.test/a", "no go line"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tt.archive)
			if _, _, err := bill.Build(t.Context(), w.bill, []string{tt.imp}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestImports(t *testing.T) {
	t.Parallel()
	file := func(imp string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("package a\nimport _ \"" + imp + "\"\n"), Mode: fs.ModePerm}
	}
	got, err := bill.Imports(fstest.MapFS{
		"a.go":            file("x.test/one"),
		"b/b_test.go":     file("x.test/two"),
		"b/c.go":          file("x.test/one"),
		"b/d.go":          file("own.test/m/c"),
		"b/e.go":          file("own.test/mine"),
		"testdata/a.go":   file("x.test/no"),
		"_off/a.go":       file("x.test/no"),
		".git/a.go":       file("x.test/no"),
		"vendor/x/a.go":   file("x.test/no"),
		"nested/go.mod":   {Data: []byte("module m\n")},
		"nested/x/a.go":   file("x.test/no"),
		"_a.go":           file("x.test/no"),
		"a.go.tmpl":       file("x.test/no"),
		"b/c_windows.go":  {Data: []byte("//go:build cgo\n\npackage a\nimport _ \"x.test/three\"\n")},
		"b/ignored.go":    {Data: []byte("//go:build ignore\n\npackage a\nimport _ \"x.test/no\"\n")},
		"b/std_linux.go":  file("net/http"),
		"migrations/x.go": file("embed"),
	}, "own.test/m")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"embed", "net/http", "own.test/mine", "x.test/one", "x.test/three", "x.test/two"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
	if _, err := bill.Imports(fstest.MapFS{"a.go": {Data: []byte("package a\nimport oops\n")}}, "m"); err == nil {
		t.Error("no error about a syntax error")
	}
}

// TestTidyNotices is the negative control of TestTidyAgrees: the go command
// must miss any require and any line of go.sum of a real service.
func TestTidyNotices(t *testing.T) {
	t.Parallel()
	u := universe(t)
	files := files("example.com/app", []string{"jetstream", "otlp", "rapid", "s3"})
	mod, sum, err := u.Resolve("example.com/app", files)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(sum, []byte("\n")) < 100 || !bytes.Contains(mod, []byte("// indirect")) {
		t.Fatalf("a service that shows too little:\n%s", mod)
	}
	rnd := rand.New(rand.NewPCG(startSeed(t), 2)) //nolint:gosec // a sample, not a secret
	sample := func(list [][]byte) [][]byte {
		if *thorough {
			return list
		}
		rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list[:3]
	}
	for _, short := range sample(without(mod, " v")) {
		t.Run("require", func(t *testing.T) {
			t.Parallel()
			if tidyDiff(t, files, short, sum) == "" {
				t.Errorf("not noticed:\n%s", cmp.Diff(mod, short))
			}
		})
	}
	for _, short := range sample(without(sum, " h1:")) {
		t.Run("sum", func(t *testing.T) {
			t.Parallel()
			if tidyDiff(t, files, mod, short) == "" {
				t.Errorf("not noticed:\n%s", cmp.Diff(sum, short))
			}
		})
	}
}

// TestReadonlyLoads has the go command load every package of
// a service that was resolved, with go.mod and go.sum read-only.
func TestReadonlyLoads(t *testing.T) {
	t.Parallel()
	files := files("example.com/app", slices.Sorted(slices.Values([]string{"riversqlite", "natsserver", "prometheus", "windowsonly"})))
	mod, sum, err := universe(t).Resolve("example.com/app", files)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := goIn(t, files, mod, sum, "GOFLAGS=-mod=readonly", "list", "-deps", "-test", "./..."); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

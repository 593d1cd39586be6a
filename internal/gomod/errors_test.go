package gomod_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// small is a universe of one module with two packages.
const small = `scaffold universe 1
go 1.24.0
std 2
context
net/http
modules 2
w.test/a v1.0.0
w.test/a v1.1.0 1.22 h1:mod h1:zip 0
packages 2
w.test/a 1 1 - -
w.test/a/b 1 - - -
`

func smallUniverse(t *testing.T) *gomod.Universe {
	t.Helper()
	u, err := gomod.Decode(small)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func goFile(src string) tree.File { return tree.File{Data: []byte(src)} }

func TestResolve(t *testing.T) {
	t.Parallel()
	mod, sum, err := smallUniverse(t).Resolve("orders", tree.Tree{
		"go.mod":               {Data: []byte("not read")},
		"README.md":            {Data: []byte("package nothing")},
		"cmd/orders/main.go":   goFile("package main\nimport \"C\"\nimport (\n\"context\"\n\"orders/internal/x\"\n)\n"),
		"internal/x/x_test.go": goFile("package x_test\nimport b \"w.test/a/b\"\nimport \"net/http\"\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("module orders\n\ngo 1.24.0\n\nrequire w.test/a v1.1.0\n", string(mod)); diff != "" {
		t.Errorf("go.mod (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("w.test/a v1.1.0 h1:zip\nw.test/a v1.1.0/go.mod h1:mod\n", string(sum)); diff != "" {
		t.Errorf("go.sum (-want +got):\n%s", diff)
	}
}

func TestUnknownImport(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"a module that isn't there":                 "w.test/none",
		"a package of a known module":               "w.test/a/c",
		"a package that the service lacks":          "example.com/app/internal/none",
		"a package in a module of its own":          "example.com/app/nested/x",
		"no package of the standard library":        "net/https",
		"a path that only begins like the module's": "example.com/apple",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := smallUniverse(t).Resolve("example.com/app", tree.Tree{
				"main.go":       goFile("package main\nimport _ \"w.test/a\"\n"),
				"x/b.go":        goFile("package x\nimport _ \"" + path + "\"\n"),
				"x/a.go":        goFile("package x\nimport _ \"" + path + "\"\n"),
				"nested/go.mod": goFile("module example.com/app/nested\n"),
				"nested/x/x.go": goFile("package x\n"),
			})
			got, ok := errors.AsType[*gomod.UnknownImportError](err)
			if want := (&gomod.UnknownImportError{File: "x/a.go", Path: path}); !ok || *got != *want {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
}

func TestResolveErrors(t *testing.T) {
	t.Parallel()
	ok := goFile("package a\nimport _ \"w.test/a\"\n")
	for name, tt := range map[string]struct {
		module string
		files  tree.Tree
		tools  []string
		want   string
	}{
		"a syntax error":                   {"example.com/app", tree.Tree{"a.go": goFile("package a\nimport oops\n")}, nil, "a.go:2:"},
		"a bad module path":                {"example.com/a b", tree.Tree{"a.go": ok}, nil, "module path"},
		"an unknown tool":                  {"example.com/app", tree.Tree{"a.go": ok}, []string{"w.test/tool"}, `go.mod: imports "w.test/tool"`},
		"the path of a dependency":         {"w.test/a", tree.Tree{"x/a.go": goFile("package a\nimport _ \"w.test/a/b\"\n")}, nil, "choose another module path"},
		"a package that a dependency has":  {"w.test", tree.Tree{"a.go": ok, "a/b/b.go": goFile("package b\n")}, nil, "package w.test/a/b exists in the service and in w.test/a"},
		"below a dependency, same package": {"w.test/a/b", tree.Tree{"a.go": ok}, nil, "package w.test/a/b exists in the service and in w.test/a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := smallUniverse(t).Resolve(tt.module, tt.files, tt.tools...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestMissingHash(t *testing.T) {
	t.Parallel()
	u, err := gomod.Decode(strings.Replace(small, "h1:zip", "-", 1))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = u.Resolve("example.com/app", tree.Tree{"a.go": goFile("package a\nimport _ \"w.test/a\"\n")})
	if err == nil || !strings.Contains(err.Error(), "w.test/a@v1.1.0") {
		t.Errorf("got %v, want an error about w.test/a", err)
	}
}

// TestDecodeRejects cuts the text after each line and spoils each number.
func TestDecodeRejects(t *testing.T) {
	t.Parallel()
	for i := range len(small) - 1 {
		if small[i] != '\n' {
			continue
		}
		if _, err := gomod.Decode(small[:i]); err == nil {
			t.Errorf("accepted:\n%s", small[:i])
		}
	}
	for _, spoilt := range []string{
		strings.Replace(small, "universe 1", "universe 2", 1),
		strings.Replace(small, "std 2", "std 3", 1),
		strings.Replace(small, "std 2", "std -2", 1),
		strings.Replace(small, "h1:zip 0", "h1:zip 2", 1),
		strings.Replace(small, "h1:zip 0", "h1:zip 0,", 1),
		strings.Replace(small, "h1:zip 0", "h1:zip -1", 1),
		strings.Replace(small, "a 1 1", "a 2 1", 1),
		strings.Replace(small, "a 1 1", "a 1 2", 1),
		strings.Replace(small, "a 1 1", "a x 1", 1),
		strings.Replace(small, "a 1 1", "a 1 99999999999", 1),
		small + "more\n",
	} {
		if _, err := gomod.Decode(spoilt); err == nil {
			t.Errorf("accepted:\n%s", spoilt)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(small)
	f.Fuzz(func(t *testing.T, text string) {
		u, err := gomod.Decode(text)
		if err != nil {
			return
		}
		again, err := gomod.Decode(string(u.Encode()))
		if err != nil {
			t.Fatalf("%v after Encode of:\n%s", err, text)
		}
		if diff := cmp.Diff(u.Encode(), again.Encode()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestFileImports(t *testing.T) {
	t.Parallel()
	const imports = "package a\nimport _ \"x.test/x\"\n"
	for name, tt := range map[string]struct {
		src    string
		counts bool
	}{
		"none":                    {imports, true},
		"tag":                     {"//go:build linux\n\n" + imports, true},
		"not":                     {"//go:build !linux\n\n" + imports, true},
		"contradiction":           {"//go:build linux && !linux\n\n" + imports, true},
		"ignore":                  {"//go:build ignore\n\n" + imports, false},
		"not ignore":              {"//go:build !ignore\n\n" + imports, true},
		"ignore or":               {"//go:build ignore || never\n\n" + imports, true},
		"ignore and":              {"//go:build ignore && linux\n\n" + imports, false},
		"malformed":               {"//go:build &&\n\n" + imports, false},
		"two lines":               {"//go:build a\n//go:build b\n\n" + imports, false},
		"after the package":       {"package a\n//go:build ignore\nimport _ \"x.test/x\"\n", true},
		"in a block comment":      {"/*\n//go:build ignore\n*/\n" + imports, true},
		"after a block comment":   {"/* licence */\n//go:build ignore\n\n" + imports, false},
		"old":                     {"// +build ignore\n\n" + imports, false},
		"old, no blank line":      {"// +build ignore\n" + imports, true},
		"old, two lines":          {"// +build linux\n// +build ignore\n\n" + imports, false},
		"old, new decides":        {"//go:build linux\n// +build ignore\n\n" + imports, true},
		"old, after a blank line": {"// Licence.\n\n// +build ignore\n\n" + imports, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			paths, counts, err := gomod.FileImports("a.go", []byte(tt.src))
			if err != nil || counts != tt.counts || len(paths) != map[bool]int{true: 1}[tt.counts] {
				t.Errorf("got %v, %v, %v, want counts=%v", paths, counts, err, tt.counts)
			}
		})
	}
	paths, _, err := gomod.FileImports("a.go", []byte("package a\nimport (\n\"C\"\n\"appengine\"\n\"appengine/x\"\n\"appengines\"\n)\n"))
	if diff := cmp.Diff([]string{"appengines"}, paths); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

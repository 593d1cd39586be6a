package render_test

import (
	"go/format"
	"go/parser"
	"go/token"
	"path"
	"strings"
	"testing"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/render"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

func library(t *testing.T, c *catalog.Catalog, s catalog.Selection) tree.Tree {
	t.Helper()
	s.Name, s.Module = "orders", "acme.example/mono"
	out, err := render.Library(c, s, render.Place{
		Folder: "sub", Below: "internal/patterns", Import: "acme.example/mono/sub/internal/patterns", Package: "patterns",
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A library is whole: every package that it imports of itself is there, in the
// folder of its import path, formatted, and none has a main function.
func TestLibrary(t *testing.T) {
	t.Parallel()
	c := load(t)
	for name, s := range selections(t, c) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := library(t, c, s)
			dirs := make(map[string]bool)
			for name := range out {
				dirs[path.Dir(name)] = true
			}
			for name, file := range out {
				if !strings.HasPrefix(name, "sub/internal/patterns/") && path.Dir(name) != "sub/docs/patterns" {
					t.Errorf("%s is elsewhere", name)
				}
				if path.Ext(name) != ".go" {
					continue
				}
				if tidy, err := format.Source(file.Data); err != nil || string(tidy) != string(file.Data) {
					t.Errorf("%s is not formatted (%v)", name, err)
				}
				parsed, err := parser.ParseFile(token.NewFileSet(), name, file.Data, parser.ImportsOnly)
				if err != nil {
					t.Fatal(err)
				}
				if parsed.Name.Name == "main" {
					t.Errorf("%s is of package main", name)
				}
				for _, spec := range parsed.Imports {
					imp := strings.Trim(spec.Path.Value, `"`)
					if below, ok := strings.CutPrefix(imp, "acme.example/mono/"); ok && !dirs[below] {
						t.Errorf("%s imports %s, which is not there", name, imp)
					}
				}
			}
			for _, p := range s.Patterns {
				if !dirs["sub/internal/patterns/"+p] {
					t.Errorf("%s has no package", p)
				}
				if _, ok := out["sub/docs/patterns/"+p+".md"]; !ok {
					t.Errorf("%s has no page", p)
				}
			}
		})
	}
}

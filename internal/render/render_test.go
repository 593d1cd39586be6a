package render_test

import (
	"bytes"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/render"
	"github.com/seed-d146d9dc/scaffold/templates"
)

func load(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Load(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func everything(t testing.TB, c *catalog.Catalog, name, module string) catalog.Selection {
	t.Helper()
	var names []string
	for _, p := range c.Patterns {
		names = append(names, p.Name)
	}
	s, _, err := c.Resolve(names, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Name, s.Module = name, module
	return s
}

// What stands in place of a template is its rendering for everything, so that
// the template service compiles where it stands.
func TestTemplatesStandInPlace(t *testing.T) {
	t.Parallel()
	c := load(t)
	out, err := render.Render(c, everything(t, c, "service", "github.com/seed-d146d9dc/scaffold/templates/service"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Files {
		name, isTemplate := strings.CutSuffix(f.Path, ".tmpl")
		if !isTemplate || path.Ext(name) != ".go" {
			continue
		}
		want, err := fs.ReadFile(templates.FS, "service/"+name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(out[name].Data), string(want)); diff != "" {
			t.Errorf("%s is not what %s renders to (-render +in place):\n%s", name, f.Path, diff)
		}
	}
}

// selections are what every file of the templates is in at least once: all
// patterns, and each alone with what it requires, with each value of each
// option.
func selections(t *testing.T, c *catalog.Catalog) map[string]catalog.Selection {
	t.Helper()
	all := make([]string, 0, len(c.Patterns))
	sets := map[string][]string{"none": nil}
	for _, p := range c.Patterns {
		all = append(all, p.Name)
		sets[p.Name] = []string{p.Name}
	}
	sets["everything"] = all
	out := make(map[string]catalog.Selection)
	for name, patterns := range sets {
		s, _, err := c.Resolve(patterns, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Name, s.Module = "orders", "acme.example/orders"
		variants := map[string]map[string]string{name: s.Options}
		for _, o := range c.Options {
			if _, ok := s.Options[o.Name]; !ok {
				continue
			}
			for before, options := range maps.Clone(variants) {
				delete(variants, before)
				for _, v := range o.Values {
					chosen := maps.Clone(options)
					chosen[o.Name] = v.Name
					variants[before+","+o.Name+"="+v.Name] = chosen
				}
			}
		}
		for variant, options := range variants {
			s.Options = options
			out[variant] = s
		}
	}
	return out
}

// traces are what only the template service may hold: its name, the marks of
// templates, the build tags that stand for options.
func traces(c *catalog.Catalog) *regexp.Regexp {
	var tags []string
	for _, o := range c.Options {
		for _, v := range o.Values {
			tags = append(tags, regexp.QuoteMeta(v.Name))
		}
	}
	return regexp.MustCompile(`seed-d146d9dc|cmd/service|templates/service|\{\{|(?m:^//\s*(?:go:build|\+build)\b.*\b(?:` + strings.Join(tags, "|") + `)\b)`)
}

// No rendering holds a trace of where it was carved from, all of them are
// formatted, and no file of the templates is in none of them.
func TestNothingOfTheTemplateIsLeft(t *testing.T) {
	t.Parallel()
	c := load(t)
	trace := traces(c)
	var seen sync.Map
	t.Run("selections", func(t *testing.T) {
		for name, s := range selections(t, c) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				out, err := render.Render(c, s)
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range out.Paths() {
					seen.Store(name, true)
					checkCarved(t, trace, name, out[name].Data)
				}
			})
		}
	})
	t.Run("libraries", func(t *testing.T) {
		for name, s := range selections(t, c) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for name, file := range library(t, c, s) {
					if rest, ok := strings.CutPrefix(name, "sub/internal/patterns/"); ok {
						seen.Store("cmd/orders/"+rest, true)
					}
					checkCarved(t, trace, name, file.Data)
				}
			})
		}
	})
	for _, f := range c.Files {
		if f.Path == "cmd/service/patterns_test.go" {
			continue // it tests the template where it stands
		}
		name := strings.TrimSuffix(f.Path, ".tmpl")
		if rest, ok := strings.CutPrefix(name, "cmd/service/"); ok {
			name = "cmd/orders/" + rest
		}
		if _, ok := seen.Load(name); !ok {
			t.Errorf("%s is in no rendering", f.Path)
		}
	}
}

// A package that no pattern owns is there where another imports it, and Paths
// knows of each file.
func TestPackagesThatNothingImportsAreLeftOut(t *testing.T) {
	t.Parallel()
	c := load(t)
	for name, s := range selections(t, c) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := render.Render(c, s)
			if err != nil {
				t.Fatal(err)
			}
			paths, err := render.Paths(c, s)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(out.Paths(), slices.Sorted(maps.Keys(paths))); diff != "" {
				t.Errorf("(-Render +Paths):\n%s", diff)
			}
			imported := make(map[string]bool)
			for name, file := range out {
				if path.Ext(name) != ".go" {
					continue
				}
				parsed, err := parser.ParseFile(token.NewFileSet(), name, file.Data, parser.ImportsOnly)
				if err != nil {
					t.Fatal(err)
				}
				for _, spec := range parsed.Imports {
					below, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), s.Module+"/")
					if ok && below != path.Dir(name) {
						imported[below] = true
					}
				}
			}
			for _, f := range c.Files {
				dir := path.Dir(f.Path)
				if len(f.Patterns) > 0 || !strings.HasPrefix(dir, "internal/") || path.Ext(f.Path) != ".go" {
					continue
				}
				if _, there := out[f.Path]; there != imported[dir] {
					t.Errorf("%s: is there: %t, is imported: %t", f.Path, there, imported[dir])
				}
			}
		})
	}
	s, _, err := c.Resolve(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Name, s.Module = "orders", "acme.example/orders"
	paths, err := render.Paths(c, s)
	if err != nil {
		t.Fatal(err)
	}
	if paths["internal/browsertest/browsertest.go"] {
		t.Error("a service without pages drives a browser")
	}
}

func checkCarved(t *testing.T, trace *regexp.Regexp, name string, data []byte) {
	t.Helper()
	if path.Base(name) != "go.sum" { // whose hashes may spell anything
		if at := trace.FindIndex(data); at != nil {
			t.Errorf("%s:%d holds %q", name, 1+bytes.Count(data[:at[0]], []byte("\n")), data[at[0]:at[1]])
		}
	}
	if path.Ext(name) != ".go" {
		return
	}
	formatted, err := format.Source(data)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	} else if diff := cmp.Diff(string(formatted), string(data)); diff != "" {
		t.Errorf("%s is not as gofmt has it:\n%s", name, diff)
	}
}

func BenchmarkRenderEverything(b *testing.B) {
	c := load(b)
	s := everything(b, c, "orders", "acme.example/orders")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := render.Render(c, s); err != nil {
			b.Fatal(err)
		}
	}
}

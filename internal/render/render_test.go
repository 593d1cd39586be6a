package render_test

import (
	"go/format"
	"io/fs"
	"path"
	"strings"
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

// A user's service holds no trace of where it was carved from, and is formatted.
func TestNothingOfTheTemplateIsLeft(t *testing.T) {
	t.Parallel()
	c := load(t)
	out, err := render.Render(c, everything(t, c, "orders", "acme.example/orders"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range out.Paths() {
		data := out[name].Data
		for _, trace := range []string{"seed-d146d9dc", "cmd/service", "templates/service", "{{", "//go:build postgres", "//go:build !postgres"} {
			if strings.Contains(string(data), trace) && !strings.HasSuffix(name, ".html") && path.Base(name) != "go.sum" {
				t.Errorf("%s holds %q", name, trace)
			}
		}
		if path.Ext(name) != ".go" {
			continue
		}
		formatted, err := format.Source(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(string(formatted), string(data)); diff != "" {
			t.Errorf("%s is not as gofmt has it:\n%s", name, diff)
		}
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

package combos

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/render"
	"github.com/seed-d146d9dc/scaffold/templates"
)

// ARCHITECTURE.md says how a pattern is added. This follows it: the files of
// testdata/afternoon.txtar are what its steps ask for, nothing else of the
// templates changes, and what comes out passes its own tests, alone and with a
// pattern that it joins.
func TestAddAPatternInAnAfternoon(t *testing.T) {
	t.Parallel()
	c, err := catalog.Load(withFiles(t, templates.FS, "testdata/afternoon.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for name, patterns := range map[string][]string{
		"alone":  {"greeting"},
		"joined": {"greeting", "database"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, err := c.Resolve(patterns, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.Name, s.Module = "orders", "example.com/orders"
			dir := runGo(t, c, s, tidy, vet, []string{"test", "./cmd/...", "./internal/greeting/..."})
			join := filepath.Join(dir, "cmd", "orders", "greeting_database.go")
			if _, err := os.Stat(join); (err == nil) != (name == "joined") {
				t.Errorf("the join's file: %v", err)
			}
		})
	}
	out, err := render.Render(c, catalog.Selection{Name: "orders", Module: "example.com/orders"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range out.Paths() {
		if strings.Contains(p, "greeting") {
			t.Errorf("%s is in a service without the pattern", p)
		}
	}
}

// withFiles returns fsys with the archive's files over it. The list of patterns
// gets the new name at its end.
func withFiles(t testing.TB, fsys fs.FS, archive string) fs.FS {
	t.Helper()
	all := make(fstest.MapFS)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		all[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	more, err := txtar.ParseFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	added := make(fstest.MapFS)
	for _, f := range more.Files {
		added[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	maps.Copy(all, added)
	index := string(all["catalog.yaml"].Data)
	family, rest, ok := strings.Cut(index, "# Exclusive alternatives")
	if !ok {
		t.Fatal("catalog.yaml has lost the comment above its options")
	}
	family += "  - {name: example, title: Example, summary: An example., patterns: [greeting]}\n\n"
	all["catalog.yaml"] = &fstest.MapFile{Data: []byte(family + "# Exclusive alternatives" + rest)}
	return all
}

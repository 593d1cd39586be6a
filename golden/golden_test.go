// Package golden holds what comes out of scaffold, as its tests expect it:
// whole services, each a Go module of its own that opens, builds and tests where
// it stands, and for each pattern one page of what it adds to the base service.
//
// After a change of a template, go test ./golden -update writes them anew, and
// the difference is what users get.
package golden

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aymanbagabas/go-udiff"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/render"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/templates"
)

var update = flag.Bool("update", false, "write what comes out now as what is expected")

// services are the selections that are kept whole. The base and everything
// bound what there is; the three between are what people first ask for.
func services(c *catalog.Catalog) []service {
	var everything []string
	for _, p := range c.Patterns {
		everything = append(everything, p.Name)
	}
	return []service{
		{"base", nil, nil},
		{"live", []string{"sse", "pubsub"}, nil},
		{"jobs", []string{"workers", "jobstatus"}, map[string]string{"database": "postgres"}},
		{"uploads", []string{"upload"}, nil},
		{"everything", everything, nil},
	}
}

// module is the path of all of them: what they have in common is compiled once, and
// tested once where nothing in it is another's.
const module = "example.com/orders"

type service struct {
	name     string
	patterns []string
	options  map[string]string
}

func load(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Load(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func renderService(t testing.TB, c *catalog.Catalog, s service) tree.Tree {
	t.Helper()
	selection, _, err := c.Resolve(s.patterns, s.options)
	if err != nil {
		t.Fatal(err)
	}
	selection.Name, selection.Module = s.name, module
	out, err := render.Render(c, selection)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestServices(t *testing.T) {
	c := load(t)
	for _, s := range services(c) {
		t.Run(s.name, func(t *testing.T) {
			got := renderService(t, c, s)
			if *update {
				write(t, s.name, got)
			}
			want := read(t, s.name)
			if diff := gocmp.Diff(want.Paths(), got.Paths()); diff != "" {
				t.Fatalf("the files of golden/%s (-golden +now; write them anew with go test ./golden -update):\n%s", s.name, diff)
			}
			for _, p := range got.Paths() {
				if !got[p].Equal(want[p]) {
					t.Errorf("golden/%s/%s (-golden +now; write it anew with go test ./golden -update):\n%s",
						s.name, p, udiff.Unified("golden", "now", string(want[p].Data), string(got[p].Data)))
				}
			}
		})
	}
}

// Each service passes its own tests, as its owner would run them, where it stands; the
// proof of all selections vets it. The race detector has watched the same tests in the
// templates on PostgreSQL. On SQLite it watches a whole service, that with uploads, and
// of the one with everything what has to do with the database.
func TestServicesPassTheirTests(t *testing.T) {
	for _, s := range services(load(t)) {
		t.Run(s.name, func(t *testing.T) {
			plain, watched := []string{"./..."}, []string(nil)
			switch s.name {
			case "uploads":
				plain, watched = nil, plain
			case "everything":
				plain, watched = split(t, s.name)
			}
			test(t, s.name, "-race", watched)
			test(t, s.name, "-race=false", plain)
		})
	}
}

// split returns the packages of a service that have nothing to do with the database, its
// command with them, and the others.
func split(t *testing.T, service string) (plain, stored []string) {
	t.Helper()
	out := runGo(t, service, nil, "list", "-f", `{{.ImportPath}} {{join .Deps " "}} {{join .TestImports " "}} {{join .XTestImports " "}}`, "./...")
	for line := range strings.Lines(out) {
		switch fields := strings.Fields(line); {
		case slices.Contains(fields, module+"/internal/database") && !strings.HasPrefix(fields[0], module+"/cmd/"):
			stored = append(stored, fields[0])
		default:
			plain = append(plain, fields[0])
		}
	}
	return plain, stored
}

// test runs the tests of a service's packages.
func test(t *testing.T, service, race string, packages []string) {
	t.Helper()
	if len(packages) == 0 {
		return
	}
	// They are compiled first, since compilers that collect less garbage are done sooner.
	runGo(t, service, []string{"GOGC=400"}, append([]string{"list", "-export", "-test", race}, packages...)...)
	runGo(t, service, nil, append([]string{"test", "-vet=off", "-timeout", "25m", race}, packages...)...)
}

// runGo returns what the go command prints.
func runGo(t *testing.T, service string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...) //nolint:gosec // constant commands
	cmd.Dir = service
	cmd.Env = slices.Concat(os.Environ(), []string{"GOWORK=off", "GOFLAGS=-mod=readonly " + os.Getenv("GOFLAGS")}, env)
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("go %s in golden/%s: %v\n%s", strings.Join(args, " "), service, err, output)
	}
	return string(output)
}

// What each pattern adds to the base service, with what it requires, stands in
// one file: new files whole, but for generated sums, and changes as a diff.
func TestPatterns(t *testing.T) {
	c := load(t)
	base := renderService(t, c, service{name: "orders"})
	var names []string
	for _, p := range c.Patterns {
		names = append(names, p.Name+".txt")
		t.Run(p.Name, func(t *testing.T) {
			below := base
			if len(p.Requires) > 0 {
				below = renderService(t, c, service{name: "orders", patterns: p.Requires})
			}
			with := renderService(t, c, service{name: "orders", patterns: []string{p.Name}})
			got := added(p, below, with)
			file := filepath.Join("patterns", p.Name+".txt")
			if *update {
				writeFile(t, file, tree.File{Data: got})
			}
			want, err := os.ReadFile(file) //nolint:gosec // a pattern's name
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("golden/%s (-golden +now; write it anew with go test ./golden -update):\n%s",
					file, udiff.Unified("golden", "now", string(want), string(got)))
			}
		})
	}
	entries, err := os.ReadDir("patterns")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			t.Errorf("golden/patterns/%s: there is no such pattern any more; remove it", e.Name())
		}
	}
}

// added tells what p brings to a service that has what it requires.
func added(p *catalog.Pattern, below, with tree.Tree) []byte {
	var out bytes.Buffer
	on := "the base service"
	if len(p.Requires) > 0 {
		on = "a service with " + strings.Join(p.Requires, " and ")
	}
	fmt.Fprintf(&out, "What %s adds to %s. New files are whole, changed ones a diff.\n", p.Name, on)
	var changed, created []string
	for _, path := range with.Paths() {
		old, ok := below[path]
		switch {
		case !ok:
			created = append(created, path)
		case !old.Equal(with[path]):
			changed = append(changed, path)
		}
	}
	for _, path := range changed {
		if path == "go.sum" {
			n := bytes.Count(with[path].Data, []byte("\n")) - bytes.Count(below[path].Data, []byte("\n"))
			fmt.Fprintf(&out, "\n-- go.sum --\n%+d lines\n", n)
			continue
		}
		fmt.Fprintf(&out, "\n-- %s --\n%s", path, udiff.Unified("a/"+path, "b/"+path, string(below[path].Data), string(with[path].Data)))
	}
	for _, path := range created {
		fmt.Fprintf(&out, "\n-- %s --\n%s", path, with[path].Data)
	}
	return out.Bytes()
}

// write makes dir hold the tree and nothing else.
func write(t testing.TB, dir string, files tree.Tree) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for _, p := range files.Paths() {
		writeFile(t, filepath.Join(dir, filepath.FromSlash(p)), files[p])
	}
}

func writeFile(t testing.TB, file string, f tree.File) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, f.Data, f.Mode()); err != nil {
		t.Fatal(err)
	}
}

// read returns the files below dir, but for what running the service leaves.
func read(t testing.TB, dir string) tree.Tree {
	t.Helper()
	files := make(tree.Tree)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name == "data" || name == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path) //nolint:gosec // below dir
		files[filepath.ToSlash(name)] = tree.File{Data: data, Exec: info.Mode()&0o100 != 0}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// README's table of the patterns is made from the catalog.
func TestReadme(t *testing.T) {
	const from, to = "<!-- patterns: written by go test ./golden -update -->\n", "<!-- /patterns -->"
	file := filepath.Join("..", "README.md")
	readme, err := os.ReadFile(file) //nolint:gosec // a constant name
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(readme), from)
	_, tail, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("README.md has lost the line %q or %q", from, to)
	}
	want := head + from + patternTable(load(t)) + to + tail
	if *update {
		writeFile(t, file, tree.File{Data: []byte(want)})
		return
	}
	if want != string(readme) {
		t.Errorf("README.md (-file +catalog; write it anew with go test ./golden -update):\n%s", udiff.Unified("README.md", "catalog", string(readme), want))
	}
}

func patternTable(c *catalog.Catalog) string {
	var table strings.Builder
	for _, family := range c.Families {
		if len(family.Patterns) == 0 {
			continue
		}
		fmt.Fprintf(&table, "\n**%s.** %s\n\n| name | pattern | use it when | not when |\n| --- | --- | --- | --- |\n", family.Title, family.Summary)
		for _, name := range family.Patterns {
			p, _ := c.Pattern(name)
			fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", p.Name, p.Title, p.Guidance.Use, p.Guidance.Avoid)
		}
	}
	return table.String() + "\n"
}

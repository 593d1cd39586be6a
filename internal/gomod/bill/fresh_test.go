package bill_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/gomod/bill"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

const root = "../../.."

// TestTemplates resolves the service of all patterns where it stands, from the
// embedded universe, and has the go command judge it.
func TestTemplates(t *testing.T) {
	t.Parallel()
	files := tree.Tree{}
	service := os.DirFS(filepath.Join(root, "templates", "service"))
	err := fs.WalkDir(service, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(service, name)
		files[name] = tree.File{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	mod, sum, err := gomod.Resolve("github.com/seed-d146d9dc/scaffold/templates/service", files)
	if err != nil {
		t.Fatal(err)
	}
	if diff := tidyDiff(t, files, mod, sum); diff != "" {
		t.Errorf("go mod tidy -diff:\n%s", diff)
	}
	if out, err := goIn(t, files, mod, sum, "GOFLAGS=-mod=readonly", "list", "-deps", "-test", "./..."); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestEmbeddedIsFresh compares the embedded universe with what the templates
// import now and with this module's go.mod and go.sum. It needs neither the go
// command nor the network.
func TestEmbeddedIsFresh(t *testing.T) {
	t.Parallel()
	u, err := gomod.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	const next = "run `go generate ./internal/gomod`"

	file := filepath.Join(root, "go.mod")
	data, err := os.ReadFile(file) //nolint:gosec // this module's own
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse(file, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	imports, err := bill.Imports(os.DirFS(filepath.Join(root, "templates", "service")), mod.Module.Mod.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, imp := range imports {
		if _, ok := u.Package(imp); !ok && !u.IsStd(imp) {
			t.Errorf("templates/service imports %s, which the universe lacks: %s", imp, next)
		}
	}

	if u.Go != mod.Go.Version {
		t.Errorf("the universe has go %s, go.mod %s: %s", u.Go, mod.Go.Version, next)
	}
	selected := map[string]string{}
	for _, p := range u.Packages {
		selected[u.Modules[p.Module].Path] = u.Modules[p.Module].Version
	}
	for _, r := range mod.Require {
		if v, ok := selected[r.Mod.Path]; ok && v != r.Mod.Version {
			t.Errorf("the universe has %s %s, go.mod %s: %s", r.Mod.Path, v, r.Mod.Version, next)
		}
	}

	sums := map[string]string{} // "path version[/go.mod]" to hash
	data, err = os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		sums[f[0]+" "+f[1]] = f[2]
	}
	for _, m := range u.Modules {
		name := m.Path + " " + m.Version
		if want, ok := sums[name]; ok && m.ZipSum != "" && m.ZipSum != want {
			t.Errorf("%s: the universe has %s, go.sum %s: %s", name, m.ZipSum, want, next)
		}
		if want, ok := sums[name+"/go.mod"]; ok && m.Loaded && m.GoModSum != want {
			t.Errorf("%s/go.mod: the universe has %s, go.sum %s: %s", name, m.GoModSum, want, next)
		}
	}
}

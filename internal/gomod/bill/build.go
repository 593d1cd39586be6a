// Package bill makes the [gomod.Universe] of a set of imports, with the go
// command, the module cache and, if need be, the module proxy. Only go generate
// and tests run it.
//
// It must not know where the imports come from or what becomes of the universe.
package bill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/version"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
)

// A Change is a module whose version in the universe is not what the bill of
// materials selects. Where there is one, the bill must follow before a service
// can have exactly the versions that the templates were tested with.
type Change struct {
	Path     string // "go" for the go line
	From, To string // From is empty if the bill's graph lacks the module
	// ByTidy says that `go mod tidy` makes the change, if what was asked for is
	// imported by packages of the bill's module. If not, only raising the
	// requirement does.
	ByTidy bool
	// TestOnly says that only tests of dependencies use the module, so that no
	// service builds it.
	TestOnly bool
}

func (c Change) String() string {
	next := "go get " + c.Path + "@" + c.To
	if c.ByTidy {
		next = "go mod tidy"
	}
	what := "the imports need"
	if c.TestOnly {
		what = "tests of dependencies need"
	}
	return fmt.Sprintf("%s: the bill has %s, %s %s: run `%s`", c.Path, cmp.Or(c.From, "none"), what, c.To, next)
}

// Build returns the universe of imports at the versions that dir's go.mod
// selects, and where those had to be changed to build all of it.
//
// The property that Resolve relies on, that no selection's graph mentions a
// version above the universe's, is made here: each module that provides any
// package is made a root, the versions are selected anew and everything is
// loaded again until nothing changes. The graph of a selection is then a part
// of the graph of these roots.
func Build(ctx context.Context, dir string, imports []string) (*gomod.Universe, []Change, error) {
	b, err := newBuilder(ctx, dir, imports)
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(b.tmp) //nolint:errcheck // a temporary directory
	roots, err := b.tidy(ctx)
	if err != nil {
		return nil, nil, err
	}
	imports = slices.DeleteFunc(slices.Clone(imports), b.isStd)
	tidied, err := b.loadGraph(ctx, roots)
	if err != nil {
		return nil, nil, err
	}
	for {
		g, err := b.loadGraph(ctx, roots)
		if err != nil {
			return nil, nil, err
		}
		pkgs, err := b.loadPackages(ctx, roots, g, imports)
		if err != nil {
			return nil, nil, err
		}
		next := map[string]string{}
		for _, p := range pkgs {
			next[p.mod.Path] = g.selected[p.mod.Path]
		}
		if maps.Equal(next, roots) {
			u, err := b.universe(ctx, g, pkgs)
			if err != nil {
				return nil, nil, err
			}
			changes, err := b.changes(ctx, tidied, g, pkgs)
			return u, changes, err
		}
		roots = next
	}
}

// A builder holds what stays the same in all rounds of one Build.
type builder struct {
	tmp   string            // a module that imports everything
	bill  *modfile.File     // the bill of materials
	std   []string          // packages of the standard library
	goEnv map[string]string // GOROOT, GOMODCACHE

	mods map[module.Version]*goModFile
	dirs map[module.Version]download
	scan map[string]*source // by directory
}

func newBuilder(ctx context.Context, dir string, imports []string) (*builder, error) {
	billPath := filepath.Join(dir, "go.mod")
	data, err := os.ReadFile(billPath) //nolint:gosec // the caller's module
	if err != nil {
		return nil, err
	}
	b := &builder{
		mods: map[module.Version]*goModFile{},
		dirs: map[module.Version]download{},
		scan: map[string]*source{},
	}
	if b.bill, err = modfile.Parse(billPath, data, nil); err != nil {
		return nil, err
	}
	if b.bill.Go == nil {
		return nil, fmt.Errorf("%s: no go line", billPath)
	}
	if len(b.bill.Replace)+len(b.bill.Exclude) > 0 {
		return nil, fmt.Errorf("%s: a replace or exclude would not reach the services: drop it", billPath)
	}
	if b.goEnv, err = goEnv(ctx, dir, "GOROOT", "GOMODCACHE"); err != nil {
		return nil, err
	}
	if b.std, err = stdPackages(filepath.Join(b.goEnv["GOROOT"], "src")); err != nil {
		return nil, err
	}
	if b.tmp, err = os.MkdirTemp("", "universe"); err != nil {
		return nil, err
	}
	sums, err := os.ReadFile(filepath.Join(dir, "go.sum")) //nolint:gosec // the caller's module
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var src strings.Builder
	src.WriteString("package universe\n\nimport (\n")
	for _, path := range slices.Sorted(slices.Values(imports)) {
		fmt.Fprintf(&src, "\t_ %q\n", path)
	}
	src.WriteString(")\n")
	return b, errors.Join(
		b.writeGoMod(b.bill.Require),
		os.WriteFile(filepath.Join(b.tmp, "go.sum"), sums, 0o600), //nolint:gosec // a temporary directory
		os.WriteFile(filepath.Join(b.tmp, "universe.go"), []byte(src.String()), 0o600),
	)
}

// writeGoMod writes the temporary module's go.mod.
func (b *builder) writeGoMod(requires []*modfile.Require) error {
	f := new(modfile.File)
	if err := errors.Join(f.AddModuleStmt("universe.invalid/universe"), f.AddGoStmt(b.bill.Go.Version)); err != nil {
		return err
	}
	f.SetRequireSeparateIndirect(requires)
	f.Cleanup()
	data, err := f.Format()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.tmp, "go.mod"), data, 0o600)
}

// tidy has the go command complete the bill for the imports, where it lacks
// what tests of dependencies need, and returns the roots.
func (b *builder) tidy(ctx context.Context) (map[string]string, error) {
	if _, err := goCommand(ctx, b.tmp, "mod", "tidy"); err != nil {
		return nil, err
	}
	file := filepath.Join(b.tmp, "go.mod")
	data, err := os.ReadFile(file) //nolint:gosec // just written
	if err != nil {
		return nil, err
	}
	f, err := modfile.Parse(file, data, nil)
	if err != nil {
		return nil, err
	}
	roots := map[string]string{}
	for _, r := range f.Require {
		roots[r.Mod.Path] = r.Mod.Version
	}
	return roots, nil
}

// changes compares the universe with what the bill's own graph selects.
func (b *builder) changes(ctx context.Context, tidied, g *graph, pkgs map[string]*pkg) ([]Change, error) {
	roots := map[string]string{}
	for _, r := range b.bill.Require {
		roots[r.Mod.Path] = r.Mod.Version
	}
	inBill, err := b.loadGraph(ctx, roots)
	if err != nil {
		return nil, err
	}
	var list []Change
	if version.Compare("go"+g.goLine, "go"+b.bill.Go.Version) > 0 {
		list = append(list, Change{
			Path: "go", From: b.bill.Go.Version, To: g.goLine, ByTidy: g.goLine == tidied.goLine,
		})
	}
	inAll := map[string]bool{}
	for _, p := range pkgs {
		inAll[p.mod.Path] = inAll[p.mod.Path] || p.inAll
	}
	for _, path := range slices.Sorted(maps.Keys(inAll)) {
		if from, to := inBill.selected[path], g.selected[path]; from != to {
			list = append(list, Change{
				Path: path, From: from, To: to, ByTidy: to == tidied.selected[path], TestOnly: !inAll[path],
			})
		}
	}
	return list, nil
}

// sortedVersions returns the modules by path, then by semantic version.
func sortedVersions(set map[module.Version]bool) []module.Version {
	return slices.SortedFunc(maps.Keys(set), func(a, b module.Version) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), semver.Compare(a.Version, b.Version), strings.Compare(a.Version, b.Version))
	})
}

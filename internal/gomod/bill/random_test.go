package bill_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/seed-d146d9dc/scaffold/internal/gomod/bill"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// A maker makes up worlds: modules that lag behind what they import, forget
// requirements, predate pruning, move packages into nested modules.
type maker struct {
	*rand.Rand
	archive  txtar.Archive
	versions map[string]int // path to its number of versions v1.0.0, v1.1.0, …
	packages []string       // of the latest versions
}

var worldPaths = []string{"w.test/c", "w.test/d", "w.test/e", "w.test/f", "w.test/g", "w.test/a", "w.test/a/sub", "w.test/b", "w.test/b/sub"}

func (m *maker) chance(p float64) bool { return m.Float64() < p }

func (m *maker) pick(list ...string) string { return list[m.IntN(len(list))] }

func (m *maker) file(name, data string) {
	m.archive.Files = append(m.archive.Files, txtar.File{Name: name, Data: []byte(data)})
}

func (m *maker) make() {
	m.versions = map[string]int{}
	for _, p := range worldPaths {
		m.versions[p] = 1 + m.IntN(3)
		for _, dir := range []string{"", "/x", "/y"} {
			m.packages = append(m.packages, p+dir)
		}
	}
	for _, p := range worldPaths {
		for v := range m.versions[p] {
			m.module(p, v)
		}
	}
	var requires strings.Builder
	for _, p := range worldPaths {
		if m.chance(0.7) {
			fmt.Fprintf(&requires, "require %s v1.%d.0\n", p, m.IntN(m.versions[p]))
		}
	}
	m.file("bill/go.mod", "module bill.test\ngo "+m.pick("1.21", "1.22.0", "1.24", "1.26.0")+"\n"+requires.String())
}

// module makes one version. Its order in worldPaths keeps imports free of
// cycles; requirements may have them.
func (m *maker) module(p string, v int) {
	at := fmt.Sprintf("%s@v1.%d.0/", p, v)
	mod := "module " + p + "\n" + m.pick("", "go 1.14\n", "go 1.16\n", "go 1.17\n", "go 1.20\n", "go 1.21\n",
		"go 1.22\n", "go 1.22rc1\n", "go 1.22.1\n", "go 1.23.4\n")
	self := slices.Index(worldPaths, p)
	for i, q := range worldPaths {
		if i != self && m.chance(0.3) {
			mod += fmt.Sprintf("require %s v1.%d.0\n", q, m.IntN(m.versions[q]))
		}
	}
	m.file(at+"go.mod", mod)
	for _, dir := range []string{"", "x/", "y/"} {
		m.file(at+dir+"a.go", "package a\n"+m.imports(self, 0.08))
		m.file(at+dir+"a_test.go", "package a\n"+m.imports(self, 0.12))
	}
	if m.versions[p+"/sub"] > 0 && m.chance(0.6) { // as if from before sub was a module
		m.file(at+"sub/x/a.go", "package a\n"+m.imports(self, 0.05))
	}
}

// imported is false for the packages of two modules that nothing imports, so
// that they are never roots and may hold packages of their nested modules.
func imported(pkg string) bool {
	for _, p := range []string{"w.test/a", "w.test/b"} {
		if rest, ok := strings.CutPrefix(pkg, p); ok && !strings.HasPrefix(rest, "/sub") {
			return false
		}
	}
	return true
}

// imports lets a module import packages of modules further on.
func (m *maker) imports(self int, share float64) string {
	var b strings.Builder
	for i, p := range m.packages {
		if i/3 > self && imported(p) && m.chance(share) {
			fmt.Fprintf(&b, "import _ %q\n", p)
		}
	}
	return b.String()
}

// selection makes a service that imports some packages.
func (m *maker) selection(imports []string) tree.Tree {
	share := m.Float64()
	files := tree.Tree{}
	for i, imp := range imports {
		if !m.chance(share) {
			continue
		}
		name := fmt.Sprintf("p%d/a.go", i)
		if m.chance(0.3) {
			name = fmt.Sprintf("p%d/a_test.go", i)
		}
		files[name] = tree.File{Data: fmt.Appendf(nil, "package a\nimport _ %q\n", imp)}
	}
	return files
}

// TestRandomWorlds compares Resolve with the go command in worlds that no one
// thought of.
//
// Not parallel: it sets the go command's environment.
func TestRandomWorlds(t *testing.T) {
	s := startSeed(t)
	worlds := 3
	if *thorough {
		worlds = 100
	}
	built := 0
	for i := range worlds {
		s := s + uint64(i)
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			m := &maker{Rand: rand.New(rand.NewPCG(s, 1))} //nolint:gosec // a sample, not a secret
			m.make()
			w := newWorld(t, string(txtar.Format(&m.archive)))
			var imports []string
			for _, p := range m.packages {
				if imported(p) && m.chance(0.3) {
					imports = append(imports, p)
				}
			}
			u, _, err := bill.Build(t.Context(), w.bill, imports)
			if err != nil {
				if strings.Contains(err.Error(), "ambiguous") {
					return // no bill can be made of such a world
				}
				t.Fatal(err)
			}
			built++
			for range 6 {
				files := m.selection(imports)
				var tools []string
				if len(imports) > 0 && m.chance(0.2) {
					tools = append(tools, m.pick(imports...))
				}
				name := m.pick("w.test/svc", "w.test", "w.test/a/own", "w.test/b/sub/own/v2")
				mod, sum, err := u.Resolve(name, files, tools...)
				if err != nil {
					t.Fatal(err)
				}
				if diff := tidyDiff(t, files, mod, sum); diff != "" {
					t.Errorf("go mod tidy -diff of\n%s\n%s", mod, diff)
				}
			}
		})
	}
	if t.Logf("%d of %d worlds have a bill", built, worlds); *thorough && built < worlds/4 {
		t.Error("too few worlds could be compared")
	}
}

package combos

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/render"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/templates"
)

var byGo = flag.Bool("go", false, "give every selection to the go command, not only those of a sample")

// The proof keeps what it has checked, so its garbage is collected less often, within
// bounds: it takes half of the processors' time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(3 << 30)
	os.Exit(m.Run())
}

// How many selections the go command is given, besides the smallest and the
// largest, and how many of those run their tests.
const (
	sampled = 4
	tested  = 1
)

// drawn is how many selections are drawn by the commit.
const drawn = 150

func loadCatalog(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Load(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// proverOnce is the prover of all tests: what one of them has checked need not be again.
var proverOnce = sync.OnceValues(func() (*prover, error) {
	c, err := catalog.Load(templates.FS)
	if err != nil {
		return nil, err
	}
	return newProver(context.Background(), c)
})

func sharedProver(t testing.TB) *prover {
	t.Helper()
	p, err := proverOnce()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEverySelectionBuilds(t *testing.T) {
	t.Parallel()
	start := time.Now()
	p := sharedProver(t)
	loaded := time.Since(start)
	all := everySelection(t, p.space)
	failures := p.proveAll(all)
	t.Logf("%d selections, %d failures, %.1f s (%.1f s of them to load what they import)",
		len(all), len(failures), time.Since(start).Seconds(), loaded.Seconds())
	for i, f := range failures {
		if i == 5 {
			t.Errorf("and %d more", len(failures)-i)
			break
		}
		t.Error(f)
		if small := p.smallest(f); describe(small.selection) != describe(f.selection) {
			t.Errorf("the smallest that still fails: %v", small)
		}
	}
}

// The go command says the same of a sample.
func TestSampleBuildsWithGo(t *testing.T) {
	t.Parallel()
	c := loadCatalog(t)
	all := everySelection(t, space{c})
	for _, i := range sample(t, len(all)) {
		s := all[i]
		t.Run(strings.ReplaceAll(describe(s), " ", ""), func(t *testing.T) {
			t.Parallel()
			runGo(t, c, s, tidy, link, vet)
		})
	}
}

// One selection of the sample runs its tests, on the engines that are there: of those
// drawn the smallest, since the largest of all has its tests in golden.
func TestSamplePassesItsTests(t *testing.T) {
	t.Parallel()
	c := loadCatalog(t)
	all := everySelection(t, space{c})
	picked := sample(t, len(all))[2:]
	slices.SortStableFunc(picked, func(i, j int) int { return len(all[i].Patterns) - len(all[j].Patterns) })
	for _, i := range picked[:min(tested, len(picked))] {
		t.Run(strings.ReplaceAll(describe(all[i]), " ", ""), func(t *testing.T) {
			runGo(t, c, all[i], test)
		})
	}
}

// everySelection returns those that are proved at each commit, and others, drawn
// by the commit, of a catalog that has too many to prove each.
func everySelection(t testing.TB, s space) []catalog.Selection {
	t.Helper()
	all, err := s.selections()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.catalog.Patterns) <= whole {
		return all
	}
	others, err := s.random(drawn, seed(t))
	if err != nil {
		t.Fatal(err)
	}
	return append(all, others...)
}

// seed is what is drawn by: the commit.
func seed(t testing.TB) uint64 {
	t.Helper()
	head, err := exec.CommandContext(t.Context(), "git", "rev-parse", "HEAD").Output()
	if err != nil {
		t.Logf("no commit to draw by: %v", err)
	}
	t.Logf("what is drawn is drawn by commit %s", head)
	hash := fnv.New64a()
	_, _ = hash.Write(head) // never fails
	return hash.Sum64()
}

// sample draws those of n selections that the go command is given: the first, the
// second, which is everything, and some of all.
func sample(t testing.TB, n int) []int {
	t.Helper()
	sample := []int{0, 1}
	for _, i := range rand.New(rand.NewPCG(seed(t), 0)).Perm(n) { // #nosec G404 -- what is drawn can be drawn again
		if len(sample) == sampled+2 && !*byGo {
			break
		}
		if i > 1 {
			sample = append(sample, i)
		}
	}
	return sample
}

// What the go command is asked of a selection. Linking is most of a build; the
// symbol tables that are left out are most of the linking.
var (
	tidy = []string{"mod", "tidy", "-diff"}
	link = []string{"build", "-mod=readonly", "-ldflags=-s -w", "./..."}
	vet  = []string{"vet", "-mod=readonly", "./..."}
	// Temporal's own server takes minutes to build: its tests are for make temporal.
	test = []string{"test", "-mod=readonly", "-vet=off", "-race", "-skip", "^TestTemporalServer", "./..."}
)

// firstFailure returns the first selection that fails, made as small as can be.
func firstFailure(p *prover, all []catalog.Selection) (failure, bool) {
	for _, s := range all {
		if err := p.prove(s); err != nil {
			return p.smallest(failure{s, err}), true
		}
	}
	return failure{}, false
}

// runGo renders the selection and runs the go command on it, in the folder that it
// returns.
func runGo(t *testing.T, c *catalog.Catalog, s catalog.Selection, commands ...[]string) (dir string) {
	t.Helper()
	files, err := render.Render(c, s)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	write(t, dir, files)
	for _, args := range commands {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if args[0] != "test" {
			cmd.Env = append(cmd.Env, "GOGC=400") // compilers that collect less garbage are done sooner
		}
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s\nin go run ./cmd/scaffold new %s --module %s %s",
				strings.Join(args, " "), err, output, s.Name, s.Module, describe(s))
		}
	}
	return dir
}

func write(t *testing.T, dir string, files tree.Tree) {
	t.Helper()
	for path, f := range files {
		file := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, f.Mode()); err != nil {
			t.Fatal(err)
		}
	}
}

// The array covers each choice for three patterns and options that can be made.
func TestCoverCovers(t *testing.T) {
	t.Parallel()
	s := space{loadCatalog(t)}
	rows := s.cover(3)
	triples, missed := 0, 0
	s.tuples(3, func(tuple []level) {
		if _, ok := s.row(tuple); !ok {
			return
		}
		triples++
		if !slices.ContainsFunc(rows, func(r row) bool { return holds(s, r, tuple) }) {
			missed++
			t.Errorf("in no row: %v", tuple)
		}
	})
	t.Logf("%d rows for %d triples", len(rows), triples)
	if triples == 0 || len(rows) == 0 {
		t.Error("there is nothing to cover")
	}
}

func holds(s space, r row, tuple []level) bool {
	n := len(s.catalog.Patterns)
	for _, l := range tuple {
		if l.factor >= n {
			o := s.catalog.Options[l.factor-n]
			if r.options[o.Name] != o.Values[l.value].Name || !slices.Contains(r.patterns, o.Pattern) {
				return false
			}
		} else if slices.Contains(r.patterns, s.catalog.Patterns[l.factor].Name) != (l.value == 1) {
			return false
		}
	}
	return true
}

// The proof notices what it is there to notice: each way to break a template is
// caught, in some selection.
func TestTheProofFails(t *testing.T) {
	t.Parallel()
	whole := sharedProver(t)
	all, err := whole.selections()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(all, func(a, b catalog.Selection) int { return len(a.Patterns) - len(b.Patterns) })
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			p := m.breaks(t, whole.catalog, whole.checker)
			small, failed := firstFailure(p, all)
			if !failed {
				t.Fatal("it passed")
			}
			t.Logf("%s\n%s", describe(small.selection), lines(small.err))
			if !strings.Contains(fmt.Sprint(small.err), m.want) {
				t.Errorf("error %v, want %q", small.err, m.want)
			}
			if m.smallest != "" && describe(small.selection) != m.smallest {
				t.Errorf("smallest selection %q, want %q", describe(small.selection), m.smallest)
			}
		})
	}
}

// breaks returns a prover for which the template is broken.
func (m mutant) breaks(t *testing.T, c *catalog.Catalog, checked *checker) *prover {
	t.Helper()
	if m.file == goMod { // which is no template
		p := over(c, checked)
		p.render = func(c *catalog.Catalog, s catalog.Selection) (tree.Tree, error) {
			files, err := render.Render(c, s)
			f := files[goMod]
			f.Data = bytes.Replace(f.Data, []byte(m.old), []byte(m.new), 1)
			files[goMod] = f
			return files, err
		}
		return p
	}
	broken := *c
	broken.Files = slices.Clone(c.Files)
	i := slices.IndexFunc(broken.Files, func(f catalog.File) bool { return f.Path == m.file })
	if i < 0 {
		t.Fatalf("no template %s", m.file)
	}
	f := &broken.Files[i]
	before := f.Data
	switch {
	case m.gone:
		broken.Files = slices.Delete(broken.Files, i, i+1)
	case m.old == "":
		f.Data = append(bytes.Clone(before), m.new...)
	default:
		f.Data = bytes.Replace(before, []byte(m.old), []byte(m.new), 1)
		if bytes.Equal(f.Data, before) {
			t.Fatalf("%s: no %q", m.file, m.old)
		}
	}
	return over(&broken, checked)
}

// Package combos proves that every selection of patterns and options is a
// service that builds: its go.mod and go.sum are what go mod tidy would write,
// and its code and its tests compile and pass go vet. A sample, another at each
// commit, is linked too; go test ./internal/combos -link links every one.
package combos

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/render"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/templates"
)

var link = flag.Bool("link", false, "link every selection's command, not only those of a sample")

// sampled is how many selections are linked, besides the smallest and the
// largest.
const sampled = 10

// selections returns every selection that a user can make, each once: all
// subsets of the patterns, with what they require, under all options.
func selections(t testing.TB, c *catalog.Catalog) []catalog.Selection {
	t.Helper()
	seen := make(map[string]bool)
	var all []catalog.Selection
	for bits := range 1 << len(c.Patterns) {
		var names []string
		for i, p := range c.Patterns {
			if bits>>i&1 == 1 {
				names = append(names, p.Name)
			}
		}
		base, _, err := c.Resolve(names, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, options := range combinations(c, base) {
			s, _, err := c.Resolve(names, options)
			if err != nil {
				t.Fatal(err)
			}
			s.Name, s.Module = "orders", "acme.example/orders"
			if id := describe(s); !seen[id] {
				seen[id] = true
				all = append(all, s)
			}
		}
	}
	return all
}

// combinations returns every choice of values for the options that s has.
func combinations(c *catalog.Catalog, s catalog.Selection) []map[string]string {
	all := []map[string]string{{}}
	for _, o := range c.Options {
		if _, ok := s.Options[o.Name]; !ok {
			continue
		}
		var more []map[string]string
		for _, chosen := range all {
			for _, value := range o.ValueNames() {
				with := maps.Clone(chosen)
				with[o.Name] = value
				more = append(more, with)
			}
		}
		all = more
	}
	return all
}

// describe names the selection as the flags of scaffold new do.
func describe(s catalog.Selection) string {
	with := "none"
	if len(s.Patterns) > 0 {
		with = strings.Join(s.Patterns, ",")
	}
	d := "--with " + with
	for _, name := range slices.Sorted(maps.Keys(s.Options)) {
		d += " --set " + name + "=" + s.Options[name]
	}
	return d
}

func TestEverySelectionBuilds(t *testing.T) {
	t.Parallel()
	c, err := catalog.Load(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	all := selections(t, c)
	linked := sample(t, len(all))
	t.Logf("%d selections", len(all))
	next := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			dir := t.TempDir()
			for i := range next {
				s := all[i]
				commands := [][]string{tidy, vet}
				if *link || linked[i] {
					commands = [][]string{tidy, build, vet}
				}
				if err := prove(t.Context(), c, s, dir, commands...); err != nil {
					t.Errorf("go run ./cmd/scaffold new orders --module %s %s:\n%v", s.Module, describe(s), err)
				}
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	wg.Wait()
}

// sample draws those of n selections that are linked. The seed is the commit.
func sample(t testing.TB, n int) map[int]bool {
	t.Helper()
	seed := fnv.New64a()
	head, err := exec.CommandContext(t.Context(), "git", "rev-parse", "HEAD").Output()
	if err != nil {
		t.Logf("no commit to draw a sample by: %v", err)
	}
	_, _ = seed.Write(head) // never fails
	t.Logf("the sample is that of commit %s", head)
	drawn := map[int]bool{0: true, n - 1: true}
	for _, i := range rand.New(rand.NewPCG(seed.Sum64(), 0)).Perm(n)[:min(sampled, n)] {
		drawn[i] = true
	}
	return drawn
}

// What the go command is asked of a selection. Linking is most of a build; the
// symbol tables that are left out are most of the linking.
var (
	tidy  = []string{"mod", "tidy", "-diff"}
	build = []string{"build", "-mod=readonly", "-ldflags=-s -w", "./..."}
	vet   = []string{"vet", "-mod=readonly", "./..."}
)

// prove renders the selection into dir, in place of what was there, and runs
// the go command on it.
func prove(ctx context.Context, c *catalog.Catalog, s catalog.Selection, dir string, commands ...[]string) error {
	out, err := render.Render(c, s)
	if err != nil {
		return err
	}
	if err := replace(dir, out); err != nil {
		return err
	}
	for _, args := range commands {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, output)
		}
	}
	return nil
}

// replace makes dir hold the tree's files and nothing else.
func replace(dir string, files tree.Tree) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	for path, f := range files {
		file := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(file, f.Data, f.Mode()); err != nil {
			return err
		}
	}
	return nil
}

// The proof notices what it is there to notice.
func TestTheProofFails(t *testing.T) {
	t.Parallel()
	c, err := catalog.Load(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := c.Resolve(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Name, s.Module = "orders", "acme.example/orders"
	for name, breakIt := range map[string]func(f *catalog.File){
		"an import of a package that is not there": func(f *catalog.File) {
			f.Data = bytes.Replace(f.Data, []byte(`"context"`), []byte("\"context\"\n\t_ \""+"github.com/seed-d146d9dc/scaffold/templates/service/internal/nothing\""), 1)
		},
		"an unused variable":           func(f *catalog.File) { f.Data = append(f.Data, "\nfunc _() { unused := 1 }\n"...) },
		"a wrong verb, which vet sees": func(f *catalog.File) { f.Data = append(f.Data, "\nfunc _() { fmt.Printf(\"%d\", \"\") }\n"...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := *c
			broken.Files = slices.Clone(c.Files)
			i := slices.IndexFunc(broken.Files, func(f catalog.File) bool { return f.Path == "cmd/service/main.go" })
			broken.Files[i].Data = bytes.Clone(broken.Files[i].Data)
			breakIt(&broken.Files[i])
			if err := prove(t.Context(), &broken, s, t.TempDir(), tidy, vet); err == nil {
				t.Error("it passed")
			}
		})
	}
}

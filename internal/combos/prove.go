// Package combos proves that every selection of patterns and options is a
// service that builds: rendered, formatted, type-checked and vetted with its
// tests, in this process, over what the compiler exported once, with no name that
// two patterns want and no other version than it was checked with. A sample, another
// at each commit, is given to the go command as well.
package combos

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/render"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

const goMod = "go.mod"

// A target is what a service is built for: build tags, and a system other than
// this one. Of another system the service's own files are taken, and what they
// import as it is on this one: it has what services use.
type target struct {
	tags   []string
	system string
}

// targets are those for which a service's own files differ.
var targets = []target{{}, {tags: []string{"production"}}, {tags: []string{"race"}}, {system: "windows"}}

// A prover proves selections of one catalog. It is for any number of goroutines.
type prover struct {
	space
	checker *checker
	clashes []clash
	render  func(*catalog.Catalog, catalog.Selection) (tree.Tree, error)
}

// newProver loads what the template service's packages import.
func newProver(ctx context.Context, c *catalog.Catalog) (*prover, error) {
	var tags []string
	for _, o := range c.Options {
		tags = append(tags, o.ValueNames()...)
	}
	u, err := load(ctx, tags...)
	if err != nil {
		return nil, err
	}
	return over(c, newChecker(u)), nil
}

// over returns a prover of c that has checked what the checker has.
func over(c *catalog.Catalog, checked *checker) *prover {
	return &prover{space{c}, checked, clashes(c), render.Render}
}

// prove reports why a selection is no service that builds.
func (p *prover) prove(s catalog.Selection) error {
	files, err := p.render(p.catalog, s)
	if err != nil {
		return err
	}
	return errors.Join(p.clashing(s), p.checker.universe.versions.check(files[goMod].Data), p.checker.check(s.Module, files, targets...), texts(files))
}

// A failure is a selection that does not build.
type failure struct {
	selection catalog.Selection
	err       error
}

// proveAll proves the selections, on all processors.
func (p *prover) proveAll(all []catalog.Selection) []failure {
	var failures []failure
	var mu sync.Mutex
	next := make(chan catalog.Selection)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for s := range next {
				if err := p.prove(s); err != nil {
					mu.Lock()
					failures = append(failures, failure{s, err})
					mu.Unlock()
				}
			}
		})
	}
	for _, s := range all {
		next <- s
	}
	close(next)
	wg.Wait()
	slices.SortFunc(failures, func(a, b failure) int {
		return strings.Compare(describe(a.selection), describe(b.selection))
	})
	return failures
}

// smallest returns the failure of a selection from which nothing can be left out
// without it passing.
func (p *prover) smallest(f failure) failure {
	for _, name := range f.selection.Patterns {
		rest := slices.DeleteFunc(slices.Clone(f.selection.Patterns), func(n string) bool { return n == name })
		s, _, err := p.catalog.Resolve(rest, nil)
		if err != nil || len(s.Patterns) >= len(f.selection.Patterns) {
			continue // another one requires it
		}
		for option, value := range f.selection.Options {
			if _, ok := s.Options[option]; ok {
				s.Options[option] = value
			}
		}
		s.Name, s.Module = f.selection.Name, f.selection.Module
		if err := p.prove(s); err != nil {
			return p.smallest(failure{s, err})
		}
	}
	return f
}

func (f failure) Error() string {
	return fmt.Sprintf("go run ./cmd/scaffold new %s --module %s %s\n%s",
		f.selection.Name, f.selection.Module, describe(f.selection), lines(f.err))
}

// lines returns an error's lines, each once: what many packages import is told by
// each of them.
func lines(err error) string {
	var once []string
	for line := range strings.Lines(errors.Join(err).Error()) {
		if line = strings.TrimRight(line, "\n"); !slices.Contains(once, line) {
			once = append(once, line)
		}
	}
	return strings.Join(once, "\n")
}

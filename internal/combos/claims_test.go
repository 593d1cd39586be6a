package combos

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
)

// The manifest and the page say what the code does: every route, every metric
// and every setting.
func TestManifestsAndPagesTellWhatTheCodeHas(t *testing.T) {
	t.Parallel()
	c := loadCatalog(t)
	all := claims(c)
	for _, p := range c.Patterns {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			has := func(kind string) []string {
				names := []string{}
				for _, x := range all {
					if x.kind == kind && slices.Contains(x.patterns, p.Name) {
						names = append(names, x.name)
					}
				}
				slices.Sort(names)
				return slices.Compact(names)
			}
			// Those of a join are the last pattern's.
			code, manifest := routesOf(all, p.Name), map[string][]string{p.Name: sorted(p.Routes)}
			for _, j := range p.Joins {
				manifest[strings.Join(append(sorted(j.With), p.Name), "+")] = sorted(j.Routes)
			}
			if diff := cmp.Diff(code, manifest, cmpopts.EquateEmpty(), cmpopts.IgnoreMapEntries(func(_ string, r []string) bool { return len(r) == 0 })); diff != "" {
				t.Errorf("patterns/%s.yaml: routes (-code +manifest):\n%s", p.Name, diff)
			}
			if diff := cmp.Diff(has(metrics), sorted(p.Metrics)); diff != "" {
				t.Errorf("patterns/%s.yaml: metrics (-code +manifest):\n%s", p.Name, diff)
			}
			page := "docs/patterns/" + p.Name + ".md"
			i := slices.IndexFunc(c.Files, func(f catalog.File) bool { return f.Path == page })
			if i < 0 {
				t.Fatalf("%s has no page", p.Name)
			}
			for _, name := range slices.Concat(has(variables), p.Metrics) {
				if !strings.Contains(string(c.Files[i].Data), name) {
					t.Errorf("%s does not name %s", page, name)
				}
			}
		})
	}
}

// routesOf returns the routes that are there with a pattern and others before it,
// by all of their names.
func routesOf(all []claim, pattern string) map[string][]string {
	found := make(map[string][]string)
	for _, x := range all {
		if x.kind != routes || len(x.patterns) == 0 || x.patterns[len(x.patterns)-1] != pattern {
			continue
		}
		others := sorted(x.patterns[:len(x.patterns)-1])
		by := strings.Join(append(others, pattern), "+")
		found[by] = append(found[by], x.name)
	}
	for by, names := range found {
		slices.Sort(names)
		found[by] = slices.Compact(names)
	}
	return found
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return append([]string{}, names...)
}

// No two patterns want the same of what a service has one of.
func TestPatternsDoNotClash(t *testing.T) {
	t.Parallel()
	c := loadCatalog(t)
	for _, clash := range clashes(c) {
		t.Error(clash)
	}
	kinds := make(map[string]int)
	for _, x := range claims(c) {
		kinds[x.kind]++
	}
	t.Log(kinds)
	for _, kind := range []string{routes, variables, metrics, goroutines, tables, migrations, ports, servers} {
		if kinds[kind] == 0 {
			t.Errorf("no %s was found", kind)
		}
	}
}

// A mux refuses routes that are not the same, too.
func TestExclude(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"GET /jobs/{id}", "GET /jobs/{id}", true},
		{"GET /jobs/{id}", "GET /jobs/{name}", true},
		{"GET /jobs/{id}/log", "GET /jobs/last/{what}", true},
		{"GET /jobs/{id}", "GET /jobs/last", false},
		{"GET /jobs/{id}", "POST /jobs/{id}", false},
	} {
		if got := exclude(tt.a, tt.b); got != tt.want {
			t.Errorf("%q and %q: %t, want %t", tt.a, tt.b, got, tt.want)
		}
	}
}

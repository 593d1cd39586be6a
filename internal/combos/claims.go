package combos

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
)

// A claim is a name of which a running service, or the servers beside it, can
// have only one, and who wants it.
type claim struct {
	kind, name string
	by         string   // two claims of one owner are one
	patterns   []string // those with which it is there
}

func (c claim) String() string {
	if c.by == "" {
		return "the base"
	}
	return c.by
}

// What is claimed in Go code, and in SQL where that is.
const (
	routes     = "route"
	variables  = "variable"
	metrics    = "metric"
	goroutines = "goroutine"
	tables     = "table or index"
	migrations = "migration"
	ports      = "port"
	servers    = "server of compose.yaml"
)

// inCode finds names in Go code. A goroutine has the name that it is logged with.
var inCode = map[string]*regexp.Regexp{
	routes:     regexp.MustCompile(`mux\.Handle(?:Func)?\("([^"]+)"`),
	variables:  regexp.MustCompile("`env:\"([A-Z0-9_]+)"),
	metrics:    regexp.MustCompile(`(?:Name:\s*|NewDesc\(\s*)"([a-z0-9]+_[a-z0-9_]+)"`),
	goroutines: regexp.MustCompile(`life\.(?:Go|OnStart|OnStop)\("([^"]+)"`),
	ports:      regexp.MustCompile(`envDefault:"[a-z0-9.]*:([1-9][0-9]*)"`),
	tables:     table,
}

var (
	table = regexp.MustCompile(`CREATE (?:UNIQUE |UNLOGGED |VIRTUAL )?(?:TABLE|INDEX|SEQUENCE) (?:CONCURRENTLY )?(?:IF NOT EXISTS )?([a-z0-9_]+)`)
	// number finds a migration's number and the database that it is for.
	number    = regexp.MustCompile(`^migrations/(\d+)_.*_([a-z]+)\.sql$`)
	published = regexp.MustCompile(`"127\.0\.0\.1:(\d+):\d+"`)
)

// claims returns all claims of a catalog, tests left out.
func claims(c *catalog.Catalog) []claim {
	var all []claim
	for _, f := range c.Files {
		by := strings.Join(f.Patterns, "+")
		find := func(kind string, expr *regexp.Regexp) {
			for _, m := range expr.FindAllSubmatch(f.Data, -1) {
				all = append(all, claim{kind: kind, name: string(m[1]), by: by, patterns: f.Patterns})
			}
		}
		switch path.Ext(f.Path) {
		case ".sql":
			find(tables, table)
			if m := number.FindStringSubmatch(f.Path); m != nil {
				all = append(all, claim{kind: migrations, name: m[1] + " of " + m[2], by: f.Path, patterns: f.Patterns})
			}
		case ".go":
			if strings.HasSuffix(f.Path, "_test.go") {
				continue
			}
			for _, kind := range slices.Sorted(maps.Keys(inCode)) {
				find(kind, inCode[kind])
			}
		case ".tmpl":
			find(ports, published)
		}
	}
	for _, p := range c.Patterns {
		for _, e := range p.Engines {
			all = append(all, claim{servers, e.Name, p.Name, []string{p.Name}})
			for _, m := range published.FindAllStringSubmatch(e.Compose, -1) {
				all = append(all, claim{ports, m[1], p.Name, []string{p.Name}})
			}
		}
	}
	return all
}

// A clash is two claims that no service can have both.
type clash struct{ a, b claim }

func (c clash) Error() string {
	return fmt.Sprintf("both %s and %s have %s %s", c.a, c.b, c.a.kind, c.a.name)
}

func clashes(c *catalog.Catalog) []clash {
	all := claims(c)
	var found []clash
	for i, a := range all {
		for _, b := range all[:i] {
			if a.kind != b.kind || a.by == b.by {
				continue
			}
			if a.name == b.name || a.kind == routes && exclude(a.name, b.name) {
				found = append(found, clash{b, a})
			}
		}
	}
	return found
}

// exclude reports whether a mux can't have both routes.
func exclude(a, b string) (yes bool) {
	defer func() { yes = recover() != nil }()
	mux := http.NewServeMux()
	mux.Handle(a, http.NotFoundHandler())
	mux.Handle(b, http.NotFoundHandler())
	return false
}

// clashing reports the clashes that are in the selection.
func (p *prover) clashing(s catalog.Selection) error {
	var errs []error
	for _, c := range p.clashes {
		if !slices.ContainsFunc(slices.Concat(c.a.patterns, c.b.patterns), func(name string) bool { return !s.Has(name) }) {
			errs = append(errs, c)
		}
	}
	return errors.Join(errs...)
}

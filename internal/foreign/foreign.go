// Package foreign looks at a Go module that scaffold did not make: what it is
// called, which router and database driver its commands use, and where a command
// builds its router. It knows how what scaffold brings is put into such code.
//
// It reads the files of the [fs.FS] that it is handed, writes nothing, and knows
// neither patterns nor how their files are made.
package foreign

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
)

// A Repo is what is known of one folder of a module.
type Repo struct {
	// Module is the module's path, and Folder the folder looked at, from the
	// module's root, "." for the root itself.
	Module, Folder string
	// Go is the version on go.mod's go line, "" if it has none.
	Go string
	// Commands are the folders of the commands that were looked at, from the
	// module's root. Where there is none, all packages of the folder were.
	Commands []string
	// Router is the router that they use, and RouterImport one import of it.
	Router       Router
	RouterImport Import
	// Database is "postgres" or "sqlite" by the driver that they import, or "".
	Database       string
	DatabaseImport Import
	// Imports are all packages that the commands import, directly or through
	// packages of the module.
	Imports map[string]bool
	// Wired is a file that imports the package of the folder that was left out.
	Wired string
	// Sites are the places where a router is made, the likeliest first.
	Sites []Site
}

// An Import is an import path and the file that imports it, from the module's
// root. The zero value means that there is none.
type Import struct{ Path, File string }

// A Site is where a router is made.
type Site struct {
	File string `json:"file"` // from the module's root
	Line int    `json:"line"`
	Func string `json:"func"` // as [Wire] takes it
	Var  string `json:"var"`  // what holds the router
}

// ImportPath returns the import path of the folder below the repository's own.
func (r *Repo) ImportPath(below string) string {
	return path.Join(r.Module, r.Folder, below)
}

// drivers lead from the import path of a database's driver, or what stands on
// one, to the database.
var drivers = []struct {
	path     *regexp.Regexp
	database string
}{
	{regexp.MustCompile(`^github\.com/(jackc/pgx(/v\d+)?(/pgxpool|/stdlib)?|lib/pq)$`), "postgres"},
	{regexp.MustCompile(`^(gorm\.io/driver/postgres|entgo\.io/ent/dialect/postgres|github\.com/uptrace/bun/driver/pgdriver|github\.com/go-pg/pg(/v\d+)?)$`), "postgres"},
	{regexp.MustCompile(`^(modernc\.org/sqlite|github\.com/mattn/go-sqlite3|zombiezen\.com/go/sqlite|github\.com/(ncruces|glebarez)/(go-)?sqlite3?(/driver)?|gorm\.io/driver/sqlite)$`), "sqlite"},
}

// Look reads the module at the root of fsys. folder is the part of it that is
// looked at; skip, below the module's root, is not: it is where scaffold's own
// packages stand or will.
func Look(fsys fs.FS, folder, skip string) (*Repo, error) {
	data, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, err
	}
	r := &Repo{Folder: folder, Imports: make(map[string]bool)}
	if r.Module, err = gomod.ModulePath("go.mod", data); err != nil {
		return nil, err
	}
	mod, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil {
		return nil, err
	}
	if mod.Go != nil {
		r.Go = mod.Go.Version
	}
	l := &looker{fsys: fsys, repo: r, skip: skip}
	starts, err := l.starts()
	if err != nil {
		return nil, err
	}
	return r, l.follow(starts)
}

type looker struct {
	fsys fs.FS
	repo *Repo
	skip string
	// routers are, by router, how far from a command it was first imported.
	routers map[Router]int
	sites   []foundSite
}

type foundSite struct {
	Site
	router Router
	depth  int
	built  bool // by another function of the package
}

// aside are folders of programs that are not what a repository is for.
var aside = []string{"example", "examples", "tool", "tools", "hack", "script", "scripts", "test", "tests", "e2e", "docs", "internal", "gen"}

// starts returns the folders of the commands, or of all packages where there is
// no command.
func (l *looker) starts() ([]string, error) {
	var commands, packages []string
	err := fs.WalkDir(l.fsys, l.repo.Folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrPermission) {
				return fs.SkipDir
			}
			return err
		}
		if d.IsDir() {
			if name != l.repo.Folder && l.ignored(name) {
				return fs.SkipDir
			}
			return nil
		}
		if !isSource(name) || !d.Type().IsRegular() {
			return nil
		}
		dir := path.Dir(name)
		if n := len(packages); n == 0 || packages[n-1] != dir {
			if !slices.Contains(packages, dir) {
				packages = append(packages, dir)
			}
		}
		if slices.Contains(commands, dir) {
			return nil
		}
		data, err := fs.ReadFile(l.fsys, name)
		if err == nil && mainClause.Match(data) {
			if _, counts, _ := gomod.FileImports(name, data); counts {
				commands = append(commands, dir)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.repo.Folder, err)
	}
	served := slices.DeleteFunc(slices.Clone(commands), func(dir string) bool {
		return slices.ContainsFunc(strings.Split(dir, "/"), func(elem string) bool { return slices.Contains(aside, elem) })
	})
	if len(served) > 0 {
		commands = served
	}
	l.repo.Commands = commands
	if len(commands) == 0 {
		return packages, nil
	}
	return commands, nil
}

var mainClause = regexp.MustCompile(`(?m)^package main\b`)

func isSource(name string) bool {
	base := path.Base(name)
	return strings.HasSuffix(base, ".go") && !strings.HasSuffix(base, "_test.go") && base[0] != '_' && base[0] != '.'
}

// ignored reports whether the go command leaves a folder out of the module, or
// this package does.
func (l *looker) ignored(dir string) bool {
	base := path.Base(dir)
	if base[0] == '.' || base[0] == '_' || base == "testdata" || base == "vendor" || base == "node_modules" || dir == l.skip {
		return true
	}
	_, err := fs.Stat(l.fsys, path.Join(dir, "go.mod"))
	return err == nil
}

// follow reads the packages of dirs and those of the module that they import.
func (l *looker) follow(dirs []string) error {
	l.routers = make(map[Router]int)
	seen := make(map[string]bool)
	for depth := 0; len(dirs) > 0; depth++ {
		var next []string
		for _, dir := range dirs {
			if seen[dir] || dir == l.skip || strings.HasPrefix(dir, l.skip+"/") {
				continue
			}
			seen[dir] = true
			imports, err := l.read(dir, depth)
			if err != nil {
				return err
			}
			next = append(next, imports...)
		}
		slices.Sort(next)
		dirs = slices.Compact(next)
	}
	l.choose()
	return nil
}

// read reads one package, and returns the folders of those that it imports of the
// module.
func (l *looker) read(dir string, depth int) ([]string, error) {
	entries, err := fs.ReadDir(l.fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // what imports it does not build, or it is made by a generator
	}
	if err != nil {
		return nil, err
	}
	var below []string
	routed := make(map[string][]byte)
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if !isSource(name) || !e.Type().IsRegular() {
			continue
		}
		data, err := fs.ReadFile(l.fsys, name)
		if err != nil {
			return nil, err
		}
		imports, counts, err := gomod.FileImports(name, data)
		if err != nil {
			return nil, fmt.Errorf("%w (mend it, then run this again)", err)
		}
		if !counts {
			continue
		}
		for _, imp := range imports {
			if imp == l.repo.Module {
				below = append(below, ".")
				continue
			}
			if rest, ok := strings.CutPrefix(imp, l.repo.Module+"/"); ok {
				below = append(below, rest)
				if rest == l.skip && l.repo.Wired == "" {
					l.repo.Wired = name
				}
				continue
			}
			l.repo.Imports[imp] = true
			if router, ok := routerOf(imp); ok {
				routed[name] = data
				l.router(router, Import{imp, name}, depth)
			}
			for _, d := range drivers {
				// PostgreSQL is what a service with both runs on.
				if d.path.MatchString(imp) && (l.repo.Database == "" || d.database == "postgres" && l.repo.Database != "postgres") {
					l.repo.Database, l.repo.DatabaseImport = d.database, Import{imp, name}
				}
			}
		}
	}
	l.find(routed, depth)
	return below, nil
}

// router notes a router. The nearest to a command is the one that counts, of
// several that are as near the one that does most; net/http only where there is
// no other.
func (l *looker) router(router Router, imp Import, depth int) {
	if _, ok := l.routers[router]; ok {
		return
	}
	l.routers[router] = depth
	now, known := l.routers[l.repo.Router]
	switch {
	case l.repo.RouterImport.Path == "" || !known,
		l.repo.Router == NetHTTP && router != NetHTTP,
		router != NetHTTP && (depth < now || depth == now && router > l.repo.Router):
		l.repo.Router, l.repo.RouterImport = router, imp
	}
}

// find notes where a package makes a router, of which the files that import one are
// given.
func (l *looker) find(routed map[string][]byte, depth int) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range slices.Sorted(maps.Keys(routed)) {
		file, err := parser.ParseFile(fset, name, routed[name], parser.SkipObjectResolution)
		if err != nil {
			continue // its imports could be read; the go command says the rest
		}
		files = append(files, file)
	}
	pkg := knownOf(files...)
	for _, file := range files {
		for _, decl := range file.Decls {
			for _, fn := range functions(decl) {
				all := creations(file, fn, pkg)
				_, served := pkg.global(fn.node, all, "")
				for _, made := range append(all, served...) {
					at := fn.node.Pos()
					if made.stmt != nil {
						at = made.stmt.Pos()
					}
					l.sites = append(l.sites, foundSite{
						Site:   Site{File: fset.File(at).Name(), Line: fset.Position(at).Line, Func: fn.name, Var: made.name},
						router: made.router, depth: depth, built: !made.direct(),
					})
				}
			}
		}
	}
}

// choose keeps the sites of the router that counts, those in a main function
// first, then those nearest to a command, and last those at which another function
// has made it: it can lead there what it has no route for.
func (l *looker) choose() {
	rank := func(s foundSite) int {
		if s.built {
			return math.MaxInt
		}
		if s.Func == "main" || s.Func == "run" {
			return s.depth
		}
		return s.depth + 1
	}
	slices.SortStableFunc(l.sites, func(a, b foundSite) int { return cmp.Compare(rank(a), rank(b)) })
	for _, s := range l.sites {
		if s.router == l.repo.Router {
			l.repo.Sites = append(l.repo.Sites, s.Site)
		}
	}
}

// A function is one declared function or method, or the declaration of variables
// that holds function literals.
type function struct {
	name string
	node ast.Node
}

// functions returns what of a declaration can hold statements.
func functions(decl ast.Decl) []function {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Body == nil {
			return nil
		}
		name := d.Name.Name
		if d.Recv != nil && len(d.Recv.List) == 1 {
			name = receiver(d.Recv.List[0].Type) + "." + name
		}
		return []function{{name, d}}
	case *ast.GenDecl:
		var out []function
		for _, spec := range d.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok && len(v.Values) > 0 {
				out = append(out, function{v.Names[0].Name, v})
			}
		}
		return out
	}
	return nil
}

// receiver returns the name of a receiver's type.
func receiver(expr ast.Expr) string {
	switch x := expr.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.IndexListExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}

package combos

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/format"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/tools/go/analysis"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// A checker type-checks and vets services, with their tests. What two services
// have in common is checked once. It is for any number of goroutines.
type checker struct {
	universe *universe
	vet      []*analysis.Analyzer
	fset     *token.FileSet

	mu    sync.Mutex
	forms map[string]func() error  // whether a file is formatted, by name and content
	files map[string]func() parsed // by name and content
	units map[string]func() *unit  // by what they are made of
}

func newChecker(u *universe) *checker {
	return &checker{
		universe: u, vet: suite, fset: token.NewFileSet(),
		forms: make(map[string]func() error), files: make(map[string]func() parsed),
		units: make(map[string]func() *unit),
	}
}

// once returns what make returns, of which there is one for each key.
func once[T any](c *checker, all map[string]func() T, key string, make func() T) T {
	c.mu.Lock()
	get, ok := all[key]
	if !ok {
		get = sync.OnceValue(make)
		all[key] = get
	}
	c.mu.Unlock()
	return get()
}

// A unit is a package as it is compiled at once: alone, with its tests, or the
// tests that stand outside of it.
type unit struct {
	types *types.Package
	facts facts
	err   error
}

// A service is one that is being checked.
type service struct {
	*checker
	module    string
	files     tree.Tree
	target    target
	goVersion string
	dirs      map[string]*build.Package // by folder
	open      []string                  // whose imports are being looked at
}

// check reports what the compiler, gofmt and go vet would say of the service, and
// of its tests, for each target.
func (c *checker) check(module string, files tree.Tree, targets ...target) error {
	var errs []error
	for _, name := range files.Paths() {
		if path.Ext(name) != ".go" {
			continue
		}
		errs = append(errs, once(c, c.forms, identity(name, files), func() error { return formatted(name, files[name].Data) }))
	}
	version, err := gomod.GoVersion(files["go.mod"].Data)
	if err != nil {
		return err
	}
	for _, t := range targets {
		s := &service{goVersion: "go" + version, checker: c, module: module, files: files, target: t, dirs: make(map[string]*build.Package)}
		errs = append(errs, s.check())
	}
	return errors.Join(errs...)
}

// identity is a file's name and content, as a key.
func identity(name string, files tree.Tree) string {
	return fmt.Sprintf("%s %x", name, sha256.Sum256(files[name].Data))
}

func formatted(name string, data []byte) error {
	want, err := format.Source(data)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case !bytes.Equal(want, data):
		return fmt.Errorf("%s: is not as gofmt formats it", name)
	}
	return nil
}

func (s *service) check() error {
	if err := s.list(); err != nil {
		return err
	}
	var errs []error
	for _, dir := range slices.Sorted(maps.Keys(s.dirs)) {
		p := s.dirs[dir]
		errs = append(errs, s.embedded(dir, p))
		if len(p.GoFiles) > 0 {
			errs = append(errs, s.unit(dir, plain, "").err)
		}
		if len(p.TestGoFiles) > 0 {
			errs = append(errs, s.unit(dir, withTests, "").err)
		}
		if len(p.XTestGoFiles) > 0 {
			errs = append(errs, s.unit(dir, outside, dir).err)
		}
	}
	return errors.Join(errs...)
}

// list finds the packages, as go/build does on a disk.
func (s *service) list() error {
	ctx := build.Default
	ctx.BuildTags = s.target.tags
	if s.target.system != "" {
		ctx.GOOS = s.target.system
	}
	ctx.CgoEnabled = true
	ctx.GOROOT, ctx.GOPATH = "", ""
	ctx.IsDir = func(name string) bool { return slices.Contains(s.folders(), clean(name)) }
	ctx.HasSubdir = func(string, string) (string, bool) { return "", false }
	ctx.ReadDir = func(name string) ([]fs.FileInfo, error) {
		var infos []fs.FileInfo
		for _, p := range s.files.Paths() {
			if path.Dir(p) == clean(name) {
				infos = append(infos, info(path.Base(p)))
			}
		}
		return infos, nil
	}
	ctx.OpenFile = func(name string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(s.files[clean(name)].Data)), nil
	}
	ctx.JoinPath = path.Join
	var errs []error
	for _, dir := range s.folders() {
		p, err := ctx.ImportDir("/"+dir, 0)
		var none *build.NoGoError
		if errors.As(err, &none) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.dirs[dir] = p
	}
	return errors.Join(errs...)
}

func clean(name string) string { return strings.TrimPrefix(path.Clean(name), "/") }

// folders are those with Go files.
func (s *service) folders() []string {
	var dirs []string
	for _, name := range s.files.Paths() {
		if dir := path.Dir(name); path.Ext(name) == ".go" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// An info is a regular file of that name.
type info string

func (i info) Name() string     { return string(i) }
func (info) Size() int64        { return 0 }
func (info) Mode() fs.FileMode  { return 0 }
func (info) ModTime() time.Time { return time.Time{} }
func (info) IsDir() bool        { return false }
func (info) Sys() any           { return nil }

// embedded reports patterns of //go:embed that match nothing.
func (s *service) embedded(dir string, p *build.Package) error {
	for _, pattern := range slices.Concat(p.EmbedPatterns, p.TestEmbedPatterns, p.XTestEmbedPatterns) {
		pattern = strings.TrimPrefix(pattern, "all:")
		found := slices.ContainsFunc(s.files.Paths(), func(name string) bool {
			rest, ok := strings.CutPrefix(name, dir+"/")
			for ; ok && rest != "."; rest = path.Dir(rest) {
				if match, _ := path.Match(pattern, rest); match {
					return true
				}
			}
			return false
		})
		if !found {
			return fmt.Errorf("%s: pattern %s: no matching files found", dir, pattern)
		}
	}
	return nil
}

// A part says which files of a package make a unit.
type part int

const (
	plain part = iota
	withTests
	outside // the tests of package x_test
)

// unit checks a package. tested is the folder whose tests it is compiled for, or
// "": there, the package of that folder is the one with its tests.
func (s *service) unit(dir string, what part, tested string) *unit {
	p := s.dirs[dir]
	names := p.GoFiles
	imports := p.Imports
	pkgPath := s.importPath(dir)
	switch what {
	case withTests:
		names, imports = slices.Concat(names, p.TestGoFiles), slices.Concat(imports, p.TestImports)
	case outside:
		names, imports, pkgPath = p.XTestGoFiles, p.XTestImports, pkgPath+"_test"
	}
	if what != outside && slices.Contains(s.open, dir) {
		return &unit{err: fmt.Errorf("%s: imports itself, by %s", dir, strings.Join(s.open, ", "))}
	}
	if what != outside {
		s.open = append(s.open, dir)
	} else {
		s.open = append(s.open, dir+"_test")
	}
	defer func() { s.open = s.open[:len(s.open)-1] }()
	deps := make(map[string]*unit)
	parts := []string{fmt.Sprint(pkgPath, what)}
	for _, imp := range slices.Compact(slices.Sorted(slices.Values(imports))) {
		below, own := strings.CutPrefix(imp, s.module+"/")
		if !own {
			continue
		}
		if s.dirs[below] == nil || len(s.dirs[below].GoFiles) == 0 {
			return &unit{err: fmt.Errorf("%s: imports %s, which is not there", dir, imp)}
		}
		dep := s.dependency(below, tested)
		if dep.err != nil {
			return &unit{err: dep.err} // told once: the texts are the same
		}
		deps[imp] = dep
		parts = append(parts, fmt.Sprintf("%s %p", imp, dep.types))
	}
	for _, name := range names {
		parts = append(parts, identity(path.Join(dir, name), s.files))
	}
	return once(s.checker, s.units, strings.Join(parts, "\n"), func() *unit {
		return s.compile(dir, pkgPath, names, deps)
	})
}

// dependency is the unit of a package that another one imports.
func (s *service) dependency(dir, tested string) *unit {
	switch {
	case dir == tested && len(s.dirs[dir].TestGoFiles) > 0:
		return s.unit(dir, withTests, "")
	case tested != "" && len(s.dirs[tested].TestGoFiles) > 0:
		return s.unit(dir, plain, tested)
	}
	return s.unit(dir, plain, "")
}

func (s *service) importPath(dir string) string {
	if dir == "." {
		return s.module
	}
	return s.module + "/" + dir
}

// compile type-checks and vets a unit.
func (s *service) compile(dir, pkgPath string, names []string, deps map[string]*unit) *unit {
	var files []*ast.File
	var errs []error
	for _, name := range names {
		f, err := s.parse(path.Join(dir, name))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		files = append(files, f)
	}
	if len(errs) > 0 {
		return &unit{err: errors.Join(errs...)}
	}
	info := &types.Info{
		Types: make(map[ast.Expr]types.TypeAndValue), Instances: make(map[*ast.Ident]types.Instance),
		Defs: make(map[*ast.Ident]types.Object), Uses: make(map[*ast.Ident]types.Object),
		Implicits: make(map[ast.Node]types.Object), Selections: make(map[*ast.SelectorExpr]*types.Selection),
		Scopes: make(map[ast.Node]*types.Scope), FileVersions: make(map[*ast.File]string),
	}
	config := types.Config{
		Importer:  imports{s.universe, deps},
		GoVersion: s.goVersion,
		Sizes:     types.SizesFor("gc", runtime.GOARCH),
		Error:     func(err error) { errs = append(errs, err) },
	}
	u := &unit{facts: make(facts)}
	u.types, _ = config.Check(pkgPath, s.fset, files, info) // its errors are in errs
	if len(errs) == 0 {
		for _, dep := range deps {
			maps.Copy(u.facts, dep.facts)
		}
		errs = append(errs, s.analyze(u, files, info, config.Sizes))
	}
	u.err = errors.Join(errs...)
	return u
}

// imports finds the service's own packages before all others.
type imports struct {
	*universe
	own map[string]*unit
}

func (i imports) Import(path string) (*types.Package, error) {
	if u, ok := i.own[path]; ok {
		return u.types, nil
	}
	return i.universe.Import(path)
}

type parsed struct {
	file *ast.File
	err  error
}

func (s *service) parse(name string) (*ast.File, error) {
	p := once(s.checker, s.checker.files, identity(name, s.files), func() (p parsed) {
		p.file, p.err = parser.ParseFile(s.fset, name, s.files[name].Data, parser.ParseComments|parser.SkipObjectResolution)
		return p
	})
	return p.file, p.err
}

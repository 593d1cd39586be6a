package render

import (
	"fmt"
	"go/format"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// A Place is where a library stands in someone's module.
type Place struct {
	// Folder is where the module's part that the library is for is, from the
	// module's root: slash-separated, "." for the root itself.
	Folder string
	// Below is the library's own folder, from there.
	Below string
	// Import is the import path of the library's package.
	Import string
	// Package is that package's name.
	Package string
}

// dir is the library's folder, from the module's root.
func (p Place) dir() string { return path.Join(p.Folder, p.Below) }

// formed are the files of the template's command that belong to no pattern and
// are there in one form only: of a service, or of a library.
var formed = map[string]form{
	"cmd/service/main.go":          serviceForm,
	"cmd/service/service.go":       serviceForm,
	"cmd/service/patterns.go":      libraryForm,
	"cmd/service/patterns_test.go": templateForm,
}

type form int

const (
	anyForm form = iota
	serviceForm
	libraryForm
	templateForm // in neither: it tests the template where it stands
)

// inService reports whether a file of the template is one of a service.
func inService(f catalog.File) bool {
	form := formed[f.Path]
	return form == anyForm || form == serviceForm
}

// Library returns what the selection brings to a module that has a main of its
// own: the wiring as a package instead of a command, the packages of the template
// that it imports, with their tests, the migrations and the pages. There is no
// go.mod among them. An error is a fault of the catalog.
func Library(c *catalog.Catalog, s catalog.Selection, at Place) (tree.Tree, error) {
	carver := newCarver(c, s)
	carver.place = &at
	view := newView(c, s)
	view.Library = at.Package
	packages := make(map[string]tree.Tree) // by folder of the template
	out := make(tree.Tree)
	for _, f := range c.Files {
		if !selected(f, s) || !inLibrary(f) {
			continue
		}
		data, err := carver.file(f, view)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		if data == nil {
			continue
		}
		file := tree.File{Data: data, Exec: f.Exec}
		name := carver.path(f.Path)
		if dir := path.Dir(f.Path); dir == "docs/patterns" {
			out[name] = file
		} else {
			if packages[dir] == nil {
				packages[dir] = make(tree.Tree)
			}
			packages[dir][name] = file
		}
	}
	return out, reach(packages, "cmd/service", at, out)
}

// inLibrary reports whether a file can be one of a library.
func inLibrary(f catalog.File) bool {
	dir, base := path.Split(f.Path)
	switch dir {
	case "cmd/service/":
		form := formed[f.Path]
		isTest := strings.HasSuffix(base, "_test.go") || strings.HasSuffix(base, "_test.go"+templateSuffix)
		return (form == anyForm || form == libraryForm) && !isTest
	case "docs/patterns/", "migrations/":
		return true
	}
	return strings.HasPrefix(dir, "internal/")
}

// reach copies to out the package of a folder of the template and all that it
// and its tests import of the library's.
func reach(packages map[string]tree.Tree, from string, at Place, out tree.Tree) error {
	queue := []string{from}
	seen := map[string]bool{from: true}
	for len(queue) > 0 {
		files := packages[queue[0]]
		queue = queue[1:]
		for _, name := range files.Paths() {
			file := files[name]
			out[name] = file
			if path.Ext(name) != ".go" {
				continue
			}
			imports, _, err := gomod.FileImports(name, file.Data)
			if err != nil {
				return err
			}
			for _, imp := range imports {
				rest, ok := strings.CutPrefix(imp, at.Import+"/")
				if !ok {
					continue
				}
				dir := "internal/" + rest
				if packages[dir] == nil {
					dir = rest
				}
				if packages[dir] == nil {
					return fmt.Errorf("%s: imports %s, which is not part of the template", name, imp)
				}
				if !seen[dir] {
					seen[dir] = true
					queue = append(queue, dir)
				}
			}
		}
	}
	return nil
}

// path is carver.path for a library.
func (p Place) path(name string) string {
	dir, base := path.Split(strings.TrimSuffix(name, templateSuffix))
	switch dir {
	case "docs/patterns/":
		return path.Join(p.Folder, dir, base)
	case "cmd/service/":
		return path.Join(p.dir(), base)
	}
	return path.Join(p.dir(), strings.TrimPrefix(dir, "internal/"), base)
}

// importPath returns what the import of a package of the template, below the
// module, is in the library.
func (p Place) importPath(below string) string {
	return p.Import + "/" + strings.TrimPrefix(below, "internal/")
}

// goFile puts the package's name where the command's package clause is, and the
// imports in order.
func (p Place) goFile(name string, data []byte) ([]byte, error) {
	if path.Dir(name) == "cmd/service" {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, data, parser.PackageClauseOnly)
		if err != nil {
			return nil, err
		}
		start, end := fset.Position(file.Name.Pos()).Offset, fset.Position(file.Name.End()).Offset
		data = slices.Concat(data[:start], []byte(p.Package), data[end:])
	}
	return format.Source(data)
}

// page puts the library's paths where a page has the template's, and says how the
// rest of it is to be read.
func (p Place) page(data []byte) []byte {
	title, rest, _ := strings.Cut(string(data), "\n\n")
	rest = benchmark.ReplaceAllString(rest, "${1}./cmd/orders   # in a service that `scaffold new orders` made")
	words := []string{"./cmd/service", "./your/command"}
	for _, before := range []string{"`", " "} {
		words = append(words,
			before+"cmd/service/", before+p.Below+"/",
			before+"internal/", before+p.Below+"/",
			before+"migrations/", before+p.Below+"/migrations/")
	}
	note := fmt.Sprintf(libraryNote, p.Below, p.Package)
	return []byte(title + "\n\n" + note + "\n\n" + strings.NewReplacer(words...).Replace(rest))
}

// benchmark matches how a test of the template's command is run.
var benchmark = regexp.MustCompile(`(?m)^(go test .*)\./cmd/service`)

const libraryNote = `> Here it is a package below %q of your own program, and "the service" is that
> program: %[2]s.New reads the settings, Set.Handler answers the routes,
> Set.Metrics has the metrics to put beside yours, and Set.Ready says what
> /readyz is said to say. Addresses and ports below are examples.`

// A Route is one that a library answers.
type Route struct {
	Method string `json:"method"`
	Path   string `json:"path"`
}

// Routes returns the routes of the selected patterns, in the catalog's order.
func Routes(c *catalog.Catalog, s catalog.Selection) []Route {
	var routes []Route
	for _, name := range s.Patterns {
		p, _ := c.Pattern(name)
		for _, r := range p.RoutesIn(s) {
			method, at, _ := strings.Cut(r, " ")
			routes = append(routes, Route{Method: method, Path: at})
		}
	}
	return routes
}

// Quote returns the route as the elements of a composite literal.
func (r Route) Quote() string { return strconv.Quote(r.Method) + ", " + strconv.Quote(r.Path) }

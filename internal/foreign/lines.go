package foreign

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// declared returns the names that a file declares at any place, its imports'
// apart.
func declared(file *ast.File) map[string]bool {
	names := make(map[string]bool)
	add := func(ids ...*ast.Ident) {
		for _, id := range ids {
			names[id.Name] = true
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.FuncDecl:
			if x.Recv == nil {
				add(x.Name)
			}
		case *ast.Field:
			add(x.Names...)
		case *ast.ValueSpec:
			add(x.Names...)
		case *ast.TypeSpec:
			add(x.Name)
		case *ast.AssignStmt:
			for _, l := range x.Lhs {
				if id, ok := l.(*ast.Ident); ok && x.Tok == token.DEFINE {
					add(id)
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{x.Key, x.Value} {
				if id, ok := e.(*ast.Ident); ok {
					add(id)
				}
			}
		}
		return true
	})
	return names
}

// An addition is an import to add.
type addition struct{ name, path string }

// group says in which group of imports an addition stands.
func (e *edit) group(a addition) int {
	first, _, _ := strings.Cut(a.path, "/")
	switch {
	case a.path == e.library:
		return 2
	case strings.Contains(first, "."):
		return 1 // a router
	}
	return 0 // the standard library
}

func (a addition) String() string {
	if a.name == "" {
		return strconv.Quote(a.path)
	}
	return a.name + " " + strconv.Quote(a.path)
}

// An edit puts lines into a file.
type edit struct {
	fset    *token.FileSet
	file    *ast.File
	src     []byte
	names   map[string]bool // taken in the file or its package
	imports []addition
	library string // its import path
}

// packageFiles reads the other files of a file's package, as far as they parse.
func packageFiles(fsys fs.FS, name string) (files []*ast.File, err error) {
	sources, err := Sources(fsys, name)
	if err != nil {
		return nil, err
	}
	delete(sources, name)
	for _, other := range slices.Sorted(maps.Keys(sources)) {
		file, err := parser.ParseFile(token.NewFileSet(), other, sources[other], parser.SkipObjectResolution)
		if file == nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// packageNames notes what the package's other files declare: no import may be
// named so.
func (e *edit) packageNames(others []*ast.File) {
	for _, file := range others {
		for _, decl := range file.Decls {
			for _, f := range functions(decl) {
				e.names[f.name] = true
			}
			if gen, ok := decl.(*ast.GenDecl); ok {
				for _, spec := range gen.Specs {
					if t, ok := spec.(*ast.TypeSpec); ok {
						e.names[t.Name.Name] = true
					}
				}
			}
		}
	}
}

// use returns the name by which the lines speak of a package, and notes its
// import if the file has none that they can use.
func (e *edit) use(imp, name string) string {
	taken := make(map[string]bool)
	for _, spec := range e.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		local := localName(spec, p)
		if p == imp && local != "_" && local != "." && !e.names[local] {
			return local
		}
		taken[local] = true
	}
	add := addition{path: imp}
	if local := name; taken[local] || e.names[local] {
		add.name = "std" + name
		if imp == e.library {
			add.name = "scaffold" + name
		}
		name = add.name
	} else if path.Base(imp) != name {
		add.name = name
	}
	if !slices.Contains(e.imports, add) {
		e.imports = append(e.imports, add)
	}
	return name
}

// free returns the first of names that is not taken.
func (e *edit) free(names ...string) string {
	for _, name := range names {
		if !e.names[name] {
			return name
		}
	}
	return names[len(names)-1]
}

// lines returns the statements that wire the library.
func (e *edit) lines(t *target, lib Library, closes bool) []string {
	app := e.free("added", "addedPatterns", "addedByScaffold")
	ctx, lasting := e.contexts(t, closes)
	library := e.use(lib.Import, lib.Package)
	failed := e.failure(t)
	lines := []string{
		fmt.Sprintf("%s, %s := %s.New(%s, %s.Getenv, %s.Default())", app, failed, library, ctx, e.use("os", "os"), e.use("log/slog", "slog")),
		"if " + failed + " == nil {",
		"\t" + failed + " = " + app + ".Start(" + lasting + ")",
		"}",
		"if " + failed + " != nil {",
		"\t" + e.fail(t, failed),
		"}",
	}
	if closes {
		lines = append(lines, "defer "+app+".Close()")
	}
	for local, r := range routersByName(e.file) {
		if r == t.router {
			return append(lines, mount(r, local, t.name, app)...)
		}
	}
	if t.path != "" && (t.router == Gin || t.router == Echo) { // a struct of another file holds it
		return append(lines, mount(t.router, e.use(t.path, packageNames[t.router]), t.name, app)...)
	}
	return append(lines, Mount(t.router, t.name, app)...)
}

// failure returns the name for the error: err, unless a later statement of the same
// list declares that, and would not find it new.
func (e *edit) failure(t *target) string {
	for _, stmt := range t.in[t.at+1:] {
		s, ok := stmt.(*ast.AssignStmt)
		if ok && s.Tok == token.DEFINE && slices.ContainsFunc(s.Lhs, func(l ast.Expr) bool { return expression(l) == "err" }) {
			return e.free("addErr", "addedErr", "addPatternsErr")
		}
	}
	return "err"
}

// fail returns the statement that ends the function with an error: by returning it
// where it returns errors and what else it returns has a zero value that can be
// told from its type's syntax.
func (e *edit) fail(t *target, failed string) string {
	var results []ast.Expr
	if t.fn.Results != nil {
		for _, field := range t.fn.Results.List {
			for range max(1, len(field.Names)) {
				results = append(results, field.Type)
			}
		}
	}
	if n := len(results); n > 0 && expression(results[n-1]) == "error" {
		zeros := make([]string, 0, n)
		for _, typ := range results[:n-1] {
			if zero := zero(typ); zero != "" {
				zeros = append(zeros, zero)
			}
		}
		if len(zeros) == n-1 {
			return "return " + strings.Join(append(zeros, failed), ", ")
		}
	}
	return e.use("log", "log") + ".Fatal(" + failed + ")"
}

// zero returns the zero value of a type, or "" where its syntax doesn't say.
func zero(typ ast.Expr) string {
	switch x := typ.(type) {
	case *ast.StarExpr, *ast.MapType, *ast.ChanType, *ast.FuncType, *ast.InterfaceType:
		return "nil"
	case *ast.ArrayType:
		if x.Len == nil {
			return "nil"
		}
	case *ast.Ident, *ast.SelectorExpr:
		switch name := expression(x); name {
		case "http.Handler", "chi.Router", "gin.IRouter", "gin.IRoutes", "context.Context", "any", "error":
			return "nil"
		case "string":
			return `""`
		case "bool":
			return "false"
		case "int", "int64", "uint", "uint64", "float64":
			return "0"
		}
	}
	return ""
}

package foreign

import (
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

// A Module returns the files of the package with an import path by their names, of which
// there are none in other modules.
type Module func(imp string) map[string][]byte

// Packages returns the packages of the module in a file system, whose path is given.
func Packages(fsys fs.FS, module string) Module {
	return func(imp string) map[string][]byte {
		dir, ok := strings.CutPrefix(imp+"/", module+"/")
		if !ok {
			return nil
		}
		files, err := Sources(fsys, path.Join(dir, "package.go"))
		if err != nil {
			return nil // what is not there or can't be read has no routes that could be told of
		}
		return files
	}
}

// A reading of Go code finds the routes that it hands to a router: by one of its names,
// below a prefix, and in functions that are handed it.
type reading struct {
	fset    *token.FileSet
	module  Module
	sources map[string]*source // by their names
	entered map[entry]bool
	answers []Answer
}

// A source is a file with what is known of its package.
type source struct {
	name string
	file *ast.File
	pkg  map[string][]byte
	text func(ast.Expr) (string, bool)
}

// An entry is a function that is handed a router.
type entry struct {
	fn     *ast.FuncDecl
	param  int
	prefix string
}

// prefixes are those of routers, by the names that they have in a function. A name that
// begins with a dot is that of a field of anything.
type prefixes map[string]string

func (p prefixes) of(name string) (prefix string, ok bool) {
	if prefix, ok = p[name]; ok || name == "" {
		return prefix, ok
	}
	for field, prefix := range p {
		if field[0] == '.' && strings.HasSuffix("."+name, field) {
			return prefix, true
		}
	}
	return "", false
}

func (p prefixes) with(name, prefix string) prefixes {
	p = maps.Clone(p)
	p[name] = prefix
	return p
}

func newReading(module Module) *reading {
	if module == nil {
		module = func(string) map[string][]byte { return nil }
	}
	return &reading{fset: token.NewFileSet(), module: module, sources: make(map[string]*source), entered: make(map[entry]bool)}
}

// source returns a file, nil where it does not parse.
func (r *reading) source(name string, src []byte, pkg map[string][]byte) *source {
	if s, ok := r.sources[name]; ok {
		return s
	}
	var s *source
	if file, err := parser.ParseFile(r.fset, name, src, parser.SkipObjectResolution); err == nil {
		s = &source{name, file, pkg, constants(r.fset, file, name, pkg)}
	}
	r.sources[name] = s
	return s
}

// block reads a part of a file.
func (r *reading) block(s *source, node ast.Node, known prefixes) {
	methods := make(map[ast.Expr]string) // of calls that others are chained to
	ast.Inspect(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, rhs := range n.Rhs {
				if prefix, ok := r.prefix(s, rhs, known); ok && len(n.Lhs) == len(n.Rhs) && expression(n.Lhs[i]) != "" {
					known[expression(n.Lhs[i])] = prefix
				}
			}
		case *ast.CallExpr:
			return r.call(s, n, known, methods)
		}
		return true
	})
}

// call reads one call. It reports whether its parts are still to be read.
func (r *reading) call(s *source, call *ast.CallExpr, known prefixes, methods map[ast.Expr]string) bool {
	for i, arg := range call.Args {
		if prefix, ok := r.prefix(s, arg, known); ok {
			r.enter(s, call.Fun, i, prefix)
		}
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return true
	}
	if sel.Sel.Name == "Methods" && len(call.Args) > 0 {
		methods[sel.X], _ = s.text(call.Args[0]) // of gorilla/mux: r.Handle(...).Methods("GET")
	}
	prefix, ok := r.prefix(s, sel.X, known)
	if !ok {
		return true
	}
	if below, ok := r.prefix(s, call, known); ok { // chi's Route and Group hand it to a function
		for _, arg := range call.Args {
			if lit, ok := arg.(*ast.FuncLit); ok {
				r.block(s, lit.Body, known.with(parameter(lit.Type, 0), below))
				return false
			}
		}
		return true
	}
	if method, path, ok := answer(sel.Sel.Name, call.Args, prefix, s.text); ok {
		if method == "" {
			method = methods[call]
		}
		r.add(Answer{s.name, r.fset.Position(call.Pos()).Line, method, path})
	}
	return true
}

func (r *reading) add(a Answer) {
	if !slices.Contains(r.answers, a) {
		r.answers = append(r.answers, a)
	}
}

// prefix returns the prefix of a router that an expression is: one that is known, or what
// it makes for the paths below another.
func (r *reading) prefix(s *source, expr ast.Expr, known prefixes) (prefix string, ok bool) {
	call, isCall := expr.(*ast.CallExpr)
	if !isCall {
		return known.of(expression(expr))
	}
	sel, isMethod := call.Fun.(*ast.SelectorExpr)
	if !isMethod {
		return "", false
	}
	if prefix, ok = r.prefix(s, sel.X, known); !ok {
		return "", false
	}
	switch sel.Sel.Name {
	case "With", "Subrouter":
		return prefix, true
	case "Group", "Route", "PathPrefix":
		if len(call.Args) == 0 {
			return "", false
		}
		if _, isFunc := call.Args[0].(*ast.FuncLit); isFunc {
			return prefix, true
		}
		more, ok := s.text(call.Args[0])
		return below(prefix, more), ok
	}
	return "", false
}

// below puts a path behind a prefix.
func below(prefix, path string) string {
	if prefix == "" {
		return path
	}
	return strings.TrimSuffix(prefix, "/") + strings.TrimSuffix("/"+strings.TrimPrefix(path, "/"), "/")
}

// enter reads the function that is called with a router, where it is one of the module's.
func (r *reading) enter(s *source, fun ast.Expr, param int, prefix string) {
	switch f := fun.(type) {
	case *ast.Ident:
		r.enterOne(r.functions(s.pkg, f.Name, false), param, prefix)
	case *ast.SelectorExpr:
		imports := make(map[string]string)
		for _, spec := range s.file.Imports {
			if imp, err := strconv.Unquote(spec.Path.Value); err == nil {
				imports[localName(spec, imp)] = imp
			}
		}
		if imp, ok := imports[expression(f.X)]; ok {
			r.enterOne(r.functions(r.module(imp), f.Sel.Name, false), param, prefix)
			return
		}
		// Of whose method it is no more is known than its name.
		found := r.functions(s.pkg, f.Sel.Name, true)
		for _, name := range slices.Sorted(maps.Keys(imports)) {
			found = append(found, r.functions(r.module(imports[name]), f.Sel.Name, true)...)
		}
		r.enterOne(found, param, prefix)
	}
}

// A callee is a function with its file.
type callee struct {
	source *source
	fn     *ast.FuncDecl
}

// functions returns the functions, or the methods, of a name in a package.
func (r *reading) functions(pkg map[string][]byte, name string, methods bool) (found []callee) {
	for _, file := range slices.Sorted(maps.Keys(pkg)) {
		s := r.source(file, pkg[file], pkg)
		if s == nil {
			continue
		}
		for _, decl := range s.file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Body != nil && fn.Name.Name == name && (fn.Recv != nil) == methods {
				found = append(found, callee{s, fn})
			}
		}
	}
	return found
}

func (r *reading) enterOne(found []callee, param int, prefix string) {
	if len(found) != 1 {
		return
	}
	name, e := parameter(found[0].fn.Type, param), entry{found[0].fn, param, prefix}
	if name == "" || name == "_" || r.entered[e] {
		return
	}
	r.entered[e] = true
	r.block(found[0].source, found[0].fn.Body, prefixes{name: prefix})
}

// parameter returns the name of a function's parameter, "" where it has none.
func parameter(fn *ast.FuncType, i int) string {
	for _, f := range fn.Params.List {
		if i < len(f.Names) {
			return f.Names[i].Name
		}
		i -= len(f.Names)
	}
	return ""
}

package foreign

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Router is a library that leads requests to handlers. A later one does more
// for its user, and counts where two are imported.
type Router int

// The routers.
const (
	NetHTTP Router = iota
	Gorilla
	Chi
	Echo
	Gin
)

// String returns the router's name.
func (r Router) String() string {
	return [...]string{"net/http", "gorilla/mux", "chi", "echo", "gin"}[r]
}

// routers say by what a router is known, how one is made, and of which types it
// is handed on.
var routers = [...]struct {
	path  *regexp.Regexp
	makes []string
	types []string
}{
	NetHTTP: {regexp.MustCompile(`^net/http$`), []string{"NewServeMux"}, []string{"ServeMux"}},
	Gorilla: {regexp.MustCompile(`^github\.com/gorilla/mux$`), []string{"NewRouter"}, []string{"Router"}},
	Chi:     {regexp.MustCompile(`^github\.com/go-chi/chi(/v\d+)?$`), []string{"NewRouter", "NewMux"}, []string{"Router", "Mux"}},
	Echo:    {regexp.MustCompile(`^github\.com/labstack/echo(/v\d+)?$`), []string{"New"}, []string{"Echo", "Group"}},
	Gin:     {regexp.MustCompile(`^github\.com/gin-gonic/gin$`), []string{"Default", "New"}, []string{"Engine", "RouterGroup", "IRouter", "IRoutes"}},
}

func routerOf(imp string) (Router, bool) {
	for r := range routers {
		if routers[r].path.MatchString(imp) {
			return Router(r), true
		}
	}
	return 0, false
}

// localName returns the name that a file knows an import by: for a library with a
// major version as its last element, the one before.
func localName(spec *ast.ImportSpec, imp string) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	base := path.Base(imp)
	if majorVersion.MatchString(base) {
		base = path.Base(path.Dir(imp))
	}
	return base
}

var majorVersion = regexp.MustCompile(`^v\d+$`)

// routersByName returns the routers that a file imports, by their local names,
// with the import path of each.
func routersByName(file *ast.File) map[string]Router {
	names := make(map[string]Router)
	for _, spec := range file.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if r, ok := routerOf(imp); ok {
			names[localName(spec, imp)] = r
		}
	}
	return names
}

// A creation is a statement that gives a variable a new router, or, without a
// statement, that a function is handed one.
type creation struct {
	router Router
	path   string // of the router's import, if the file may lack it
	name   string // of the variable, as in r or s.router
	// holder is the variable that has the router in a field, "" if none is known to.
	holder string
	stmt   ast.Stmt
	// in is the list of statements that stmt is one of.
	in []ast.Stmt
	// fn is the type of the innermost function that it is in.
	fn *ast.FuncType
	// body is that function's body.
	body *ast.BlockStmt
}

// creations returns the routers that fn makes, for a variable or a field of what it
// makes for one, in the order of their places, or, where it makes none but has
// handlers for the default mux, that.
func creations(file *ast.File, fn function, structs map[string][]held) []creation {
	names := routersByName(file)
	var found, defaults []creation
	walk(fn.node, func(in []ast.Stmt, stmt ast.Stmt, ft *ast.FuncType, body *ast.BlockStmt) {
		at := creation{stmt: stmt, in: in, fn: ft, body: body}
		switch s := stmt.(type) {
		case *ast.AssignStmt:
			if len(s.Rhs) == 1 && len(s.Lhs) >= 1 {
				found = append(found, at.of(expression(s.Lhs[0]), s.Rhs[0], names, structs)...)
			}
		case *ast.DeclStmt:
			gen, ok := s.Decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				return
			}
			for _, spec := range gen.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && len(v.Values) == 1 {
					found = append(found, at.of(v.Names[0].Name, v.Values[0], names, structs)...)
				}
			}
		case *ast.ExprStmt:
			call, ok := s.X.(*ast.CallExpr)
			if !ok {
				return
			}
			pkg, name := selector(call.Fun)
			if r, ok := names[pkg]; ok && r == NetHTTP && (name == "Handle" || name == "HandleFunc") {
				at.router, at.name = NetHTTP, pkg+".DefaultServeMux"
				defaults = append(defaults, at)
			}
		}
	})
	if len(found) == 0 && len(defaults) > 0 {
		return defaults[:1]
	}
	return found
}

// of returns the creation c for a variable of that name, if its value is a new router
// or a struct's literal with new routers.
func (c creation) of(name string, value ast.Expr, names map[string]Router, structs map[string][]held) (made []creation) {
	if name == "" || name == "_" {
		return nil
	}
	if r, ok := makes(value, names); ok {
		c.router, c.name = r, name
		return []creation{c}
	}
	if x, ok := value.(*ast.UnaryExpr); ok && x.Op == token.AND {
		value = x.X
	}
	lit, ok := value.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	for _, elt := range lit.Elts {
		pair, ok := elt.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		r, ok := makes(pair.Value, names)
		for _, h := range structs[receiver(lit.Type)] {
			if ok && h.router == r && h.field == expression(pair.Key) {
				c.router, c.name, c.holder = r, h.in(name), name
				made = append(made, c)
			}
		}
	}
	return made
}

// makes reports whether an expression is a new router.
func makes(expr ast.Expr, names map[string]Router) (Router, bool) {
	for {
		// As in mux.NewRouter().StrictSlash(true).
		call, ok := expr.(*ast.CallExpr)
		if !ok {
			return 0, false
		}
		pkg, name := selector(call.Fun)
		if r, ok := names[pkg]; ok && slices.Contains(routers[r].makes, name) {
			return r, true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || name == "Group" || name == "Route" {
			return 0, false
		}
		expr = sel.X
	}
}

// selector splits x.y; x is "" unless it is a name.
func selector(expr ast.Expr) (x, y string) {
	sel, ok := expr.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	if id, ok := sel.X.(*ast.Ident); ok {
		x = id.Name
	}
	return x, sel.Sel.Name
}

// expression writes a name or a selection of fields; "" for anything else.
func expression(expr ast.Expr) string {
	switch x := expr.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		if left := expression(x.X); left != "" {
			return left + "." + x.Sel.Name
		}
	}
	return ""
}

// walk visits every statement below node, with the list that it stands in and
// the innermost function around it.
func walk(node ast.Node, visit func(in []ast.Stmt, stmt ast.Stmt, fn *ast.FuncType, body *ast.BlockStmt)) {
	var within func(n ast.Node, fn *ast.FuncType, body *ast.BlockStmt)
	list := func(stmts []ast.Stmt, fn *ast.FuncType, body *ast.BlockStmt) {
		for _, s := range stmts {
			if fn != nil {
				visit(stmts, s, fn, body)
			}
			within(s, fn, body)
		}
	}
	within = func(n ast.Node, fn *ast.FuncType, body *ast.BlockStmt) {
		ast.Inspect(n, func(m ast.Node) bool {
			switch x := m.(type) {
			case *ast.FuncDecl:
				if x.Body != nil && m != n {
					within(x, x.Type, x.Body)
					return false
				}
				fn, body = x.Type, x.Body
			case *ast.FuncLit:
				list(x.Body.List, x.Type, x.Body)
				return false
			case *ast.BlockStmt:
				list(x.List, fn, body)
				return false
			case *ast.CaseClause:
				list(x.Body, fn, body)
				return false
			case *ast.CommClause:
				list(x.Body, fn, body)
				return false
			}
			return true
		})
	}
	within(node, nil, nil)
}

// Mount returns the lines that lead the routes of app, a variable that holds a
// library, from the router to it.
func Mount(r Router, router, app string) []string {
	return mount(r, packageNames[r], router, app)
}

// packageNames are the names of the routers' packages.
var packageNames = [...]string{NetHTTP: "http", Gorilla: "mux", Chi: "chi", Echo: "echo", Gin: "gin"}

func mount(r Router, pkg, router, app string) []string {
	var call string
	switch r {
	case Gin:
		call = "$.Handle(route.Method, route.Colons(), PKG.WrapH(@.Handler()))"
	case Echo:
		call = "$.Add(route.Method, route.Colons(), PKG.WrapHandler(@.Handler()))"
	case Chi:
		call = "$.Method(route.Method, route.Path, @.Handler())"
	case Gorilla:
		call = "$.Handle(route.Path, @.Handler()).Methods(route.Method)"
	default:
		call = `$.Handle(route.Method+" "+route.Path, @.Handler())`
	}
	call = strings.NewReplacer("$", router, "@", app, "PKG", pkg).Replace(call)
	return []string{"for _, route := range " + app + ".Routes() {", "\t" + call, "}"}
}

// Generic returns the wiring where no place for it is known: for a variable of
// the router's usual name, in a main function.
func Generic(r Router, lib Library) []string {
	router := [...]string{NetHTTP: "mux", Gorilla: "r", Chi: "r", Echo: "e", Gin: "r"}[r]
	return append([]string{
		"added, err := " + lib.Package + ".New(context.Background(), os.Getenv, slog.Default())",
		"if err == nil {",
		"\terr = added.Start(context.Background())",
		"}",
		"if err != nil {",
		"\tlog.Fatal(err)",
		"}",
		"defer added.Close()",
	}, Mount(r, router, "added")...)
}

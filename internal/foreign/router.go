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
// is handed on: as a whole, or as a group of its routes.
var routers = [...]struct {
	path   *regexp.Regexp
	makes  []string
	types  []string
	groups []string
}{
	NetHTTP: {regexp.MustCompile(`^net/http$`), []string{"NewServeMux"}, []string{"ServeMux"}, nil},
	Gorilla: {regexp.MustCompile(`^github\.com/gorilla/mux$`), []string{"NewRouter"}, []string{"Router"}, nil},
	Chi:     {regexp.MustCompile(`^github\.com/go-chi/chi(/v\d+)?$`), []string{"NewRouter", "NewMux"}, []string{"Router", "Mux"}, nil},
	Echo:    {regexp.MustCompile(`^github\.com/labstack/echo(/v\d+)?$`), []string{"New"}, []string{"Echo"}, []string{"Group"}},
	Gin:     {regexp.MustCompile(`^github\.com/gin-gonic/gin$`), []string{"Default", "New"}, []string{"Engine"}, []string{"RouterGroup", "IRouter", "IRoutes"}},
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
	// builder is the function of the package that makes it, nil if none is called.
	builder *builder
	// global says that it is a variable of the package, and catcher is the function in
	// which that leads all requests somewhere, "" if none does.
	global  bool
	catcher string
	// group says that its type is that of a router's routes below a prefix.
	group bool
	stmt  ast.Stmt
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
func creations(file *ast.File, fn function, pkg known) []creation {
	pkg = pkg.in(file)
	var found, defaults []creation
	walk(fn.node, func(in []ast.Stmt, stmt ast.Stmt, ft *ast.FuncType, body *ast.BlockStmt) {
		at := creation{stmt: stmt, in: in, fn: ft, body: body}
		switch s := stmt.(type) {
		case *ast.AssignStmt:
			if len(s.Rhs) == 1 {
				found = append(found, at.of(s.Lhs, s.Rhs[0], pkg)...)
			}
		case *ast.DeclStmt:
			gen, ok := s.Decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				return
			}
			for _, spec := range gen.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && len(v.Values) == 1 {
					found = append(found, at.declared(v, pkg)...)
				}
			}
		case *ast.ExprStmt:
			call, ok := s.X.(*ast.CallExpr)
			if !ok {
				return
			}
			http, name := selector(call.Fun)
			if r, ok := pkg.names[http]; ok && r == NetHTTP && (name == "Handle" || name == "HandleFunc") {
				at.router, at.name = NetHTTP, http+".DefaultServeMux"
				defaults = append(defaults, at)
			}
		}
	})
	if len(defaults) > 0 && !slices.ContainsFunc(found, creation.direct) {
		found = append(found, defaults[0])
	}
	return found
}

// direct reports whether the function makes the router itself.
func (c creation) direct() bool { return c.builder == nil }

// declared returns the creation c for the variables of a declaration. What another
// function made a variable of a type that is no router's, such as a handler, is none.
func (c creation) declared(v *ast.ValueSpec, pkg known) []creation {
	left := make([]ast.Expr, 0, len(v.Names))
	for _, id := range v.Names {
		left = append(left, id)
	}
	return slices.DeleteFunc(c.of(left, v.Values[0], pkg), func(made creation) bool {
		return v.Type != nil && !made.direct() && !pkg.holds(v.Type)
	})
}

// of returns the creation c for the variables that get a value, if that is a new router
// or a struct's literal with new routers.
func (c creation) of(left []ast.Expr, value ast.Expr, pkg known) (made []creation) {
	if one, i, ok := c.makes(value, pkg); ok {
		if i < len(left) {
			one.name = expression(left[i])
		}
		if one.name == "" || one.name == "_" {
			return nil
		}
		return []creation{one}
	}
	name := expression(left[0])
	if x, ok := value.(*ast.UnaryExpr); ok && x.Op == token.AND {
		value = x.X
	}
	lit, ok := value.(*ast.CompositeLit)
	if !ok || name == "" || name == "_" {
		return nil
	}
	for _, elt := range lit.Elts {
		pair, ok := elt.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		one, _, ok := c.makes(pair.Value, pkg)
		for _, h := range pkg.structs[receiver(lit.Type)] {
			if ok && h.router == one.router && h.field == expression(pair.Key) {
				one.name, one.holder = h.in(name), name
				made = append(made, one)
			}
		}
	}
	return made
}

// makes reports whether an expression is a new router, and which of its results.
func (c creation) makes(expr ast.Expr, pkg known) (_ creation, result int, ok bool) {
	for {
		// As in mux.NewRouter().StrictSlash(true).
		call, ok := expr.(*ast.CallExpr)
		if !ok {
			return c, 0, false
		}
		x, name := selector(call.Fun)
		if r, ok := pkg.names[x]; ok && slices.Contains(routers[r].makes, name) {
			c.router = r
			return c, 0, true
		}
		if b := pkg.builder(call.Fun); b != nil {
			c.router, c.path, c.builder = b.router, b.path, b
			return c, b.result, true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || name == "Group" || name == "Route" || name == "PathPrefix" {
			return c, 0, false
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

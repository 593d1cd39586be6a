package foreign

import (
	"go/ast"
	"go/token"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// An Answer is a route that Go code has a router answer, as its source says it.
type Answer struct {
	File   string
	Line   int
	Method string // empty for each
	Path   string
}

// verbs are what the methods of routers begin with that are for one HTTP method.
var verbs = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// Answers returns the routes with constant paths that a file hands to the router
// which it knows by a name, such as r, or s.router: also below a prefix, and in functions
// of the module that are handed it. A name that begins with a dot is that of a field of
// anything. pkg has files of its package by their names, for what they declare. A file
// that does not parse has no routes.
func Answers(name string, src []byte, router string, pkg map[string][]byte, module Module) []Answer {
	r := newReading(module)
	if s := r.source(name, src, pkg); s != nil {
		for _, decl := range s.file.Decls {
			r.block(s, decl, prefixes{router: ""})
		}
	}
	return r.answers
}

// literals are the strings that arguments begin with.
func literals(args []ast.Expr) (texts []string) {
	for _, arg := range args {
		lit, ok := arg.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			break
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil {
			break
		}
		texts = append(texts, text)
	}
	return texts
}

// Answers returns the routes that the router has by the file in which it is wired, by
// the functions that build it, and, as a variable of the package, by all others, of the
// package whose files pkg has by their names.
func (w *Wiring) Answers(pkg map[string][]byte, module Module) []Answer {
	r := newReading(module)
	read := func(name string, names func(ast.Decl) []string) {
		s := r.source(name, pkg[name], pkg)
		if s == nil {
			return
		}
		for _, decl := range s.file.Decls {
			for _, router := range names(decl) {
				r.block(s, decl, prefixes{router: ""})
			}
		}
	}
	read(w.Site.File, func(decl ast.Decl) []string { return w.here(decl, r.fset) })
	for _, name := range slices.Sorted(maps.Keys(pkg)) {
		read(name, w.names)
	}
	return r.answers
}

// here returns by which name a declaration of the file in which the router is wired knows
// it: the one that it has there. A function that is handed a router by that name means
// another.
func (w *Wiring) here(decl ast.Decl, fset *token.FileSet) []string {
	fn, ok := decl.(*ast.FuncDecl)
	if ok && (fset.Position(fn.Pos()).Line > w.Site.Line || w.Site.Line > fset.Position(fn.End()).Line) && takes(fn.Type, w.Site.Var) {
		return nil
	}
	return []string{w.Site.Var}
}

// names returns by which names a function of the package knows the router, as far as it
// builds it or has it from the package.
func (w *Wiring) names(decl ast.Decl) (names []string) {
	fn, ok := decl.(*ast.FuncDecl)
	if !ok || fn.Body == nil {
		return nil
	}
	if w.builder != nil && fn.Name.Name == w.builder.name {
		names = returned(fn, w.builder.result)
	}
	if w.global && !hides(fn, w.Site.Var) {
		names = append(names, w.Site.Var)
	}
	return names
}

// returned returns what a function returns as one of its results, by the names that
// this has there.
func returned(fn *ast.FuncDecl, result int) (names []string) {
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if _, isFunc := n.(*ast.FuncLit); isFunc {
			return false
		}
		if s, ok := n.(*ast.ReturnStmt); ok && result < len(s.Results) {
			if name := expression(s.Results[result]); name != "" && name != "nil" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return true
	})
	return names
}

// answer is the route of a call below a prefix, by its name and the strings that it
// begins with.
func answer(name string, args []ast.Expr, prefix string, text func(ast.Expr) (string, bool)) (method, path string, ok bool) {
	verb := strings.ToUpper(name)
	isVerb := slices.Contains(verbs, verb)
	folder := name == "Static" || name == "StaticFS" // of gin
	if len(args) == 0 || !isVerb && !folder && !slices.Contains([]string{"Handle", "HandleFunc", "Method", "MethodFunc", "Add", "Any", "Match"}, name) {
		return "", "", false
	}
	if path, ok = text(args[0]); !ok {
		return "", "", false
	}
	before, after, found := strings.Cut(path, " ")
	switch {
	case isVerb:
		method = verb
	case folder:
		method, path = http.MethodGet, strings.TrimSuffix(path, "/")+"/*filepath"
	case found: // of net/http
		method, path = before, strings.TrimSpace(after)
	case len(args) > 1 && path != "" && path[0] != '/': // of chi, gin and echo
		method = strings.ToUpper(path)
		path, _ = text(args[1])
	}
	path = below(prefix, path)
	return method, path, strings.HasPrefix(path, "/")
}

// Clashes reports whether a router that has the answer can't have the route as well:
// it stops the program, or only ever asks one of the two.
func (a Answer) Clashes(r Router, method, path string) bool {
	if r == NetHTTP {
		one, other := strings.TrimSpace(a.Method+" "+a.Path), strings.TrimSpace(method+" "+path)
		return accepts(one) && accepts(other) && !accepts(one, other)
	}
	if a.Method != "" && method != "" && a.Method != method {
		return false
	}
	if r == Gin {
		return branches(a.Path, path)
	}
	return shape(a.Path) == shape(path)
}

// accepts reports whether a mux takes all patterns.
func accepts(patterns ...string) (ok bool) {
	defer func() { ok = recover() == nil }() // what a mux does not take it panics at
	mux := http.NewServeMux()
	for _, p := range patterns {
		mux.Handle(p, http.NotFoundHandler())
	}
	return true
}

// variable is an element of a path that stands for any.
var variable = regexp.MustCompile(`\{[^}/]*\}|[:*][^/]*`)

// branches reports whether gin's tree of routes can't have both paths, so that it
// panics: in the first element in which they differ both have a variable at one place,
// under two names, or one is the rest of the path; or they differ in none.
func branches(one, other string) bool {
	elements := func(path string) []string {
		return strings.Split(variable.ReplaceAllStringFunc(path, colon), "/")
	}
	ones, others := elements(one), elements(other)
	for i := range min(len(ones), len(others)) {
		a, b := ones[i], others[i]
		if a != b {
			start, _, isA := strings.Cut(a, ":")
			same, _, isB := strings.Cut(b, ":")
			return isA && isB && start == same || strings.HasPrefix(a, "*") || strings.HasPrefix(b, "*")
		}
	}
	return len(ones) == len(others)
}

// colon writes a variable as gin does.
func colon(variable string) string {
	name, ok := strings.CutPrefix(variable, "{")
	if name = strings.TrimSuffix(name, "}"); !ok {
		return variable
	}
	if rest, ok := strings.CutSuffix(name, "..."); ok {
		return "*" + rest
	}
	return ":" + name
}

func shape(path string) string { return variable.ReplaceAllString(path, "{}") }

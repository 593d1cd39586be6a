package foreign

import (
	"go/ast"
	"go/parser"
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
// which it knows by a name, such as r, or s.router. A name that begins with a dot is
// that of a field of anything. pkg has files of its package by their names, for the
// constants that they declare. A file that does not parse has no routes.
func Answers(name string, src []byte, router string, pkg map[string][]byte) []Answer {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil
	}
	text := constants(fset, file, name, pkg)
	var answers []Answer
	methods := make(map[ast.Expr]string) // of calls that others are chained to
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if sel.Sel.Name == "Methods" && len(call.Args) > 0 {
			methods[sel.X], _ = text(call.Args[0]) // of gorilla/mux: r.Handle(...).Methods("GET")
		}
		if on := expression(sel.X); on != router && (router[0] != '.' || !strings.HasSuffix("."+on, router)) {
			return true
		}
		if method, path, ok := answer(sel.Sel.Name, call.Args, text); ok {
			if method == "" {
				method = methods[call]
			}
			answers = append(answers, Answer{name, fset.Position(call.Pos()).Line, method, path})
		}
		return true
	})
	return answers
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

// Answers returns the routes that the router has by the file in which it is wired, and
// by the functions that build it, of the package whose files pkg has by their names.
func (w *Wiring) Answers(pkg map[string][]byte) []Answer {
	answers := Answers(w.Site.File, pkg[w.Site.File], w.Site.Var, pkg)
	if w.builder == nil {
		return answers
	}
	for _, name := range slices.Sorted(maps.Keys(pkg)) {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, pkg[name], parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil || fn.Name.Name != w.builder.name {
				continue
			}
			first, last := fset.Position(fn.Pos()).Line, fset.Position(fn.End()).Line
			for _, router := range returned(fn, w.builder.result) {
				answers = append(answers, slices.DeleteFunc(Answers(name, pkg[name], router, pkg), func(a Answer) bool {
					return a.Line < first || a.Line > last || slices.Contains(answers, a)
				})...)
			}
		}
	}
	return answers
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

// answer is the route of a call, by its name and the strings that it begins with.
func answer(name string, args []ast.Expr, text func(ast.Expr) (string, bool)) (method, path string, ok bool) {
	verb := strings.ToUpper(name)
	isVerb := slices.Contains(verbs, verb)
	if len(args) == 0 || !isVerb && !slices.Contains([]string{"Handle", "HandleFunc", "Method", "MethodFunc", "Add", "Any", "Match"}, name) {
		return "", "", false
	}
	if path, ok = text(args[0]); !ok {
		return "", "", false
	}
	before, after, found := strings.Cut(path, " ")
	switch {
	case isVerb:
		method = verb
	case found: // of net/http
		method, path = before, strings.TrimSpace(after)
	case len(args) > 1 && !strings.HasPrefix(path, "/"): // of chi, gin and echo
		method = strings.ToUpper(path)
		path, _ = text(args[1])
	}
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

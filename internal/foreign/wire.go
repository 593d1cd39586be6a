package foreign

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// A Library is the package that scaffold adds to a module.
type Library struct{ Import, Package string }

// A Wiring is what has to stand in a function for a library to run.
type Wiring struct {
	Site   Site
	Router Router
	// Lines are the statements, and Imports what they need that the file does not
	// import yet.
	Lines, Imports []string
	// Closes says that the lines close the library when the function returns, and
	// Exits that it ends the process instead, by which nothing is closed.
	Closes, Exits bool
	// Group says that the router may be one for what is below a prefix, which the
	// library does not see in the paths that it answers.
	Group bool
	// Data is the file with both put in.
	Data []byte
	// builder is the function that makes the router, if the wired one does not.
	builder *builder
	global  bool // the router is a variable of the package
}

// ErrWired says that a function's file imports the library already.
var ErrWired = errors.New("is wired already")

// Wire works out how the library is wired into a function, which is named as in
// "main", "Server.routes" or, for a function literal, by the variable that holds
// it. The router is the one that the function makes and serves, or the one that it is
// handed; behind a colon the function's name may have that of its variable.
//
// The file keeps its comments, and its form where that is gofmt's. The error says
// why it can't be done; it is [ErrWired] where it was done before.
func Wire(fsys fs.FS, name, fn string, lib Library) (*Wiring, error) {
	src, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file in the module", name)
	}
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("%w (mend it, then run this again)", err)
	}
	for _, spec := range file.Imports {
		if imp, err := strconv.Unquote(spec.Path.Value); err == nil && imp == lib.Import {
			return nil, fmt.Errorf("%s: %w: it imports %s", name, ErrWired, lib.Import)
		}
	}
	others, err := packageFiles(fsys, name)
	if err != nil {
		return nil, err
	}
	fn, variable, _ := strings.Cut(fn, ":")
	s := &search{fset: fset, file: file, pkg: knownOf(append(others, file)...), name: name, fn: fn, variable: variable}
	t, err := s.locate()
	if err != nil {
		return nil, err
	}
	e := &edit{fset: fset, file: file, src: src, names: declared(file), library: lib.Import}
	e.packageNames(others)
	w := &Wiring{Site: t.site, Router: t.router, Closes: t.closes(), Exits: t.exits(), Group: t.group, builder: t.builder, global: t.global}
	w.Lines = e.lines(t, lib, w.Closes)
	slices.SortFunc(e.imports, func(a, b addition) int {
		return cmp.Or(cmp.Compare(e.group(a), e.group(b)), cmp.Compare(a.path, b.path))
	})
	for _, imp := range e.imports {
		w.Imports = append(w.Imports, imp.String())
	}
	w.Data, err = e.apply(t, w.Lines)
	return w, err
}

// A target is a place in a function at which the router is there and not in use.
type target struct {
	creation
	site Site
	main bool // and not a function literal in it
	// at is the index of the statement in creation.in that the lines come after;
	// -1 for the start.
	at   int
	also []string // names of what was made of the router, up to there
	// served says that it is behind the place, and missed where it is, or where it is
	// returned, without passing that.
	served bool
	missed token.Pos
	file   *ast.File
}

// hands reports whether a statement gives the router to what serves, or returns it.
func (t *target) hands(stmt ast.Stmt) bool {
	if _, ok := stmt.(*ast.ReturnStmt); ok {
		return t.mentions(stmt)
	}
	return t.makesServer(stmt) || t.serves(stmt) && t.mentions(stmt)
}

// settle moves the place behind the last statement that does something to the
// router before it is served: middleware that comes later would not be around the
// library's routes. What is made of the router, such as a group of its routes or a
// struct that holds it, counts as the router.
func (t *target) settle() {
	end := t.at + 1
	if t.at >= 0 {
		t.noteMade(t.in[t.at])
	}
	for end < len(t.in) && !t.serves(t.in[end]) && !t.returned(t.in[end]) && (t.router != Gorilla || !t.catches(t.in[end])) {
		t.noteMade(t.in[end])
		end++
	}
	defer t.passCheck()
	for i := t.at + 1; i < end; i++ {
		if t.makesServer(t.in[i]) && !slices.ContainsFunc(t.in[i+1:end], func(stmt ast.Stmt) bool { return t.mentions(stmt) }) {
			return
		}
		if t.mentions(t.in[i]) {
			t.at = i
		}
	}
}

// passCheck moves the place behind what looks at another result of the statement that it
// is behind, as at an error.
func (t *target) passCheck() {
	if t.at < 0 || t.at+1 >= len(t.in) {
		return
	}
	made, isAssigned := t.in[t.at].(*ast.AssignStmt)
	check, isCheck := t.in[t.at+1].(*ast.IfStmt)
	if !isAssigned || !isCheck || t.serves(check) {
		return
	}
	for _, l := range made.Lhs {
		name := expression(l)
		if name != "" && name != "_" && name != t.name && (&target{creation: creation{name: name}}).mentions(check.Cond) {
			t.at++
			return
		}
	}
}

// noteMade notes the names of what a statement makes of the router.
func (t *target) noteMade(stmt ast.Stmt) {
	s, ok := stmt.(*ast.AssignStmt)
	if !ok || !t.mentions(s) {
		return
	}
	for _, made := range s.Lhs {
		if name := expression(made); name != "" && name != "_" && name != "err" {
			t.also = append(t.also, name)
		}
	}
}

// catches reports whether a statement leads all requests somewhere that no earlier
// route has taken. Its middleware a router of gorilla/mux takes from anywhere.
func (t *target) catches(stmt ast.Stmt) bool { return catchesAll(stmt, t.name) }

// catchesAll does so for the router that is known by a name, or for any if there is none.
func catchesAll(n ast.Node, router string) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			sel, ok := call.Fun.(*ast.SelectorExpr)
			args := literals(call.Args)
			found = found || ok && (router == "" || expression(sel.X) == router) && sel.Sel.Name == "PathPrefix" && len(args) == 1 && args[0] == "/"
		}
		return !found
	})
	return found
}

// makesServer reports whether a statement has a server's literal with the router
// as its handler.
func (t *target) makesServer(stmt ast.Stmt) bool {
	found := false
	ast.Inspect(stmt, func(n ast.Node) bool {
		if pair, ok := n.(*ast.KeyValueExpr); ok && expression(pair.Key) == "Handler" {
			found = found || t.mentions(pair.Value)
		}
		return !found
	})
	return found
}

// mentions reports whether a node speaks of the router, or of what was made of it.
func (t *target) mentions(n ast.Node) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		if x, ok := n.(ast.Expr); ok {
			name := expression(x)
			found = found || name != "" && (name == t.name || slices.Contains(t.also, name))
		}
		return !found
	})
	return found
}

// serves reports whether a statement serves with the finished router, or leaves
// the function: what comes behind it is too late.
func (t *target) serves(stmt ast.Stmt) bool {
	if _, ok := stmt.(*ast.ReturnStmt); ok {
		return true
	}
	found := false
	ast.Inspect(stmt, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.FuncLit:
			root, _, _ := strings.Cut(t.name, ".")
			return !takes(x.Type, root) // there the name is another thing's
		case *ast.CallExpr:
			found = found || t.serving(x)
		}
		return !found
	})
	return found
}

// serving reports whether a call serves with the router, by the name of what is called.
func (t *target) serving(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	name := ""
	if ok {
		name = sel.Sel.Name
	} else if id, isName := call.Fun.(*ast.Ident); isName {
		name = id.Name
	}
	verb := strings.TrimPrefix(strings.ToLower(name), "must")
	if pkg, _ := selector(call.Fun); strings.HasPrefix(verb, "listen") && pkg != "net" && pkg != "tls" {
		return true
	}
	onRouter := ok && (expression(sel.X) == t.name || slices.Contains(t.also, expression(sel.X)))
	return slices.ContainsFunc([]string{"run", "start", "serve"}, func(v string) bool { return strings.HasPrefix(verb, v) }) &&
		(onRouter || slices.ContainsFunc(call.Args, func(arg ast.Expr) bool { return t.mentions(arg) }))
}

// exits reports whether the process ends in the function, as by log.Fatal or
// os.Exit, once the server does: no deferred call is run then.
func (t *target) exits() bool {
	served := false
	for _, stmt := range t.in[t.at+1:] {
		if _, ok := stmt.(*ast.GoStmt); ok {
			continue // what serves there ends elsewhere
		}
		_, returns := stmt.(*ast.ReturnStmt)
		served = served || !returns && t.serves(stmt)
		if served && t.ends(stmt) {
			return true
		}
	}
	return false
}

// ends reports whether a statement ends the process, other than where a server
// fails that is closed in order.
func (t *target) ends(stmt ast.Stmt) bool {
	found, orderly := false, false
	ast.Inspect(stmt, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.SelectorExpr:
			orderly = orderly || x.Sel.Name == "ErrServerClosed"
		case *ast.CallExpr:
			pkg, name := selector(x.Fun)
			found = found || strings.HasPrefix(name, "Fatal") || pkg == "os" && name == "Exit"
		}
		return true
	})
	return found && !orderly
}

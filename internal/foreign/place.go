package foreign

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// A level is a list of statements around the one that makes a router.
type level struct {
	in   []ast.Stmt
	at   int // of the statement that makes it, or has that in it
	fn   *ast.FuncType
	body *ast.BlockStmt
}

// levels returns the lists around a statement, the innermost first.
func levels(node ast.Node, stmt ast.Stmt) (around []level) {
	walk(node, func(in []ast.Stmt, s ast.Stmt, fn *ast.FuncType, body *ast.BlockStmt) {
		switch s.(type) {
		case *ast.CaseClause, *ast.CommClause: // between these there is no place
			return
		}
		if contains(s, stmt.Pos()) {
			around = append(around, level{in, slices.Index(in, s), fn, body})
		}
	})
	slices.Reverse(around)
	return around
}

func contains(n ast.Node, at token.Pos) bool { return n.Pos() <= at && at < n.End() }

// lift moves the place out of branches, loops and function literals, to the level at
// which all that serves or returns the router comes later. It returns where that is
// done on a path that does not pass the place, if it is.
func (t *target) lift(node ast.Node) (missed token.Pos) {
	around := levels(node, t.stmt)
	top, outlives := t.scope(around)
	root, _, _ := strings.Cut(t.name, ".")
	ends := t.handings(around[top], outlives || declares(t.stmt, root))
	for i, l := range around[:top+1] {
		t.in, t.at, t.fn, t.body = l.in, l.at, l.fn, l.body
		rest := l.in[l.at+1:]
		before := slices.IndexFunc(ends, func(at token.Pos) bool {
			return !slices.ContainsFunc(rest, func(s ast.Stmt) bool { return contains(s, at) })
		})
		if i == 0 && before >= 0 {
			missed = ends[before]
		}
		switch {
		case before < 0 && (len(ends) > 0 || leaves(rest)):
			return token.NoPos
		case i < top && !leaves(rest):
			if outlives && t.madeOnce(around[i+1]) {
				return token.NoPos
			}
		case before >= 0:
			return missed
		}
	}
	return token.NoPos
}

// scope returns the outermost level at which the router's variable is known to be what
// was made, and whether it outlives the function, as a field does.
func (t *target) scope(around []level) (top int, outlives bool) {
	root, _, field := strings.Cut(t.name, ".")
	own := 0 // the outermost level of the innermost function
	for own+1 < len(around) && around[own+1].body == around[0].body {
		own++
	}
	for i, l := range around {
		switch {
		case i == own+1 && len(t.handings(around[own], true)) > 0:
			return own, true // a function literal that serves by itself
		case i > 0 && heads(l.in[l.at], root, t.stmt.Pos()):
			return i - 1, false
		case slices.ContainsFunc(l.in[:l.at+1], func(s ast.Stmt) bool { return declares(s, root) }):
			return i, false
		case l.in[0] == l.body.List[0] && takes(l.fn, root):
			return i, field
		}
	}
	return own, true
}

// handings returns where the router is served or returned at a level or within; of what
// comes before it is made, only if it was the same one then.
func (t *target) handings(l level, other bool) (found []token.Pos) {
	known := t.also
	defer func() { t.also = known }()
	root, _, _ := strings.Cut(t.name, ".")
	var look func(n ast.Node, own bool)
	look = func(n ast.Node, own bool) {
		ast.Inspect(n, func(n ast.Node) bool {
			hands := false
			switch x := n.(type) {
			case *ast.FuncLit:
				if !takes(x.Type, root) {
					look(x.Body, false)
				}
				return false
			case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause:
				// Another variable of that name is another router.
				return contains(x, t.stmt.Pos()) || !slices.ContainsFunc(statements(x), func(s ast.Stmt) bool { return declares(s, root) })
			case *ast.AssignStmt:
				t.noteMade(x)
			case *ast.ReturnStmt:
				hands = own && t.returns(x, l.fn)
			case *ast.CallExpr:
				hands = t.serving(x) && !contains(x, t.stmt.Pos())
			case *ast.KeyValueExpr:
				hands = expression(x.Key) == "Handler" && t.mentions(x.Value)
			}
			if hands && (n.Pos() > t.stmt.Pos() || own && !other && t.mentions(n)) {
				found = append(found, n.Pos())
			}
			return true
		})
	}
	for _, s := range l.in {
		look(s, true)
	}
	return found
}

// statements returns the list of statements that a node is for.
func statements(n ast.Node) []ast.Stmt {
	switch x := n.(type) {
	case *ast.BlockStmt:
		return x.List
	case *ast.CaseClause:
		return x.Body
	case *ast.CommClause:
		return x.Body
	}
	return nil
}

// returns reports whether a statement hands the router to the function's caller, and
// not only an error with it.
func (t *target) returns(s *ast.ReturnStmt, fn *ast.FuncType) bool {
	if fn.Results == nil {
		return false
	}
	if len(s.Results) == 0 {
		root, _, _ := strings.Cut(t.name, ".")
		return slices.ContainsFunc(fn.Results.List, func(f *ast.Field) bool { return named(f, root) })
	}
	last := fn.Results.List[len(fn.Results.List)-1]
	if n := len(s.Results); n > 1 && expression(last.Type) == "error" && expression(s.Results[n-1]) != "nil" {
		return false
	}
	return t.mentions(s)
}

// returned reports whether a branch of a statement returns the router.
func (t *target) returned(stmt ast.Stmt) bool {
	found := false
	ast.Inspect(stmt, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			found = found || t.returns(x, t.fn)
		}
		return !found
	})
	return found
}

// lateMiddleware returns where a router that asks in order is given middleware behind
// the place: it would not be around the library's routes, or chi would stop the program.
func (t *target) lateMiddleware() token.Pos {
	for _, stmt := range t.in[t.at+1:] {
		if s, ok := stmt.(*ast.ExprStmt); ok && (t.router == Chi || t.router == Gin) {
			if call, ok := s.X.(*ast.CallExpr); ok && expression(call.Fun) == t.name+".Use" {
				return call.Pos()
			}
		}
	}
	return token.NoPos
}

// leaves reports whether statements end the function: nothing behind the block that
// they are in comes after them.
func leaves(stmts []ast.Stmt) bool {
	return slices.ContainsFunc(stmts, func(s ast.Stmt) bool {
		_, ok := s.(*ast.ReturnStmt)
		return ok
	})
}

// madeOnce reports whether the statement at a level makes the router only where there is
// none yet: what adds to it has to be there too, for the function can be called again.
func (t *target) madeOnce(l level) bool {
	s, ok := l.in[l.at].(*ast.IfStmt)
	if !ok || !contains(s.Body, t.stmt.Pos()) {
		return false
	}
	cond, ok := s.Cond.(*ast.BinaryExpr)
	return ok && cond.Op == token.EQL && expression(cond.X) == t.name && expression(cond.Y) == "nil"
}

// declares reports whether a statement declares a variable.
func declares(stmt ast.Node, name string) bool {
	is := func(e ast.Expr) bool { return e != nil && expression(e) == name }
	switch s := stmt.(type) {
	case *ast.AssignStmt:
		return s.Tok == token.DEFINE && slices.ContainsFunc(s.Lhs, is)
	case *ast.RangeStmt:
		return s.Tok == token.DEFINE && (is(s.Key) || is(s.Value))
	case *ast.DeclStmt:
		gen, ok := s.Decl.(*ast.GenDecl)
		return ok && slices.ContainsFunc(gen.Specs, func(spec ast.Spec) bool {
			v, ok := spec.(*ast.ValueSpec)
			return ok && slices.ContainsFunc(v.Names, func(id *ast.Ident) bool { return id.Name == name })
		})
	}
	return false
}

// heads reports whether what begins a compound statement around a place declares a
// variable, as in if r := x; r == nil {.
func heads(stmt ast.Stmt, name string, at token.Pos) (found bool) {
	ast.Inspect(stmt, func(n ast.Node) bool {
		if n == nil || !contains(n, at) {
			return false
		}
		switch s := n.(type) {
		case *ast.IfStmt:
			found = found || declares(s.Init, name)
		case *ast.ForStmt:
			found = found || declares(s.Init, name)
		case *ast.RangeStmt:
			found = found || declares(s, name)
		case *ast.SwitchStmt:
			found = found || declares(s.Init, name)
		case *ast.TypeSwitchStmt:
			found = found || declares(s.Init, name) || declares(s.Assign, name)
		case *ast.CommClause:
			found = found || declares(s.Comm, name)
		}
		return !found
	})
	return found
}

// takes reports whether a function has a parameter or a result of that name.
func takes(fn *ast.FuncType, name string) bool {
	fields := fn.Params.List
	if fn.Results != nil {
		fields = slices.Concat(fields, fn.Results.List)
	}
	return slices.ContainsFunc(fields, func(f *ast.Field) bool { return named(f, name) })
}

func named(f *ast.Field, name string) bool {
	return slices.ContainsFunc(f.Names, func(id *ast.Ident) bool { return id.Name == name })
}

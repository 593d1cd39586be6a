package foreign

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// contexts returns what the library is made with, and what it is started with: it runs
// until that ends. A function that returns while the server runs has its context for as
// long as that starts, and no longer.
func (e *edit) contexts(t *target, closes bool) (ctx, lasting string) {
	ctx = t.context()
	if ctx == "" || t.ended(ctx, closes) {
		background := e.use("context", "context") + ".Background()"
		return background, background
	}
	if closes {
		return ctx, ctx
	}
	return ctx, e.use("context", "context") + ".WithoutCancel(" + ctx + ")"
}

// context returns the name of a context that the function has at the target.
func (t *target) context() string {
	for _, field := range t.fn.Params.List {
		if expression(field.Type) == "context.Context" && len(field.Names) > 0 && field.Names[0].Name != "_" {
			return field.Names[0].Name
		}
	}
	for _, stmt := range t.in[:t.at+1] {
		if s, ok := stmt.(*ast.AssignStmt); ok && s.Tok == token.DEFINE && expression(s.Lhs[0]) == "ctx" {
			return "ctx"
		}
	}
	return ""
}

// ended reports whether a context of the function has a time to end at, is cancelled
// before the target, or, where the function returns early, by then.
func (t *target) ended(name string, closes bool) bool {
	if t.at < 0 {
		return false
	}
	end := t.in[t.at].End()
	timed, cancel := t.given(name, end)
	if timed || cancel == "" {
		return timed
	}
	cancelled := false
	ast.Inspect(t.body, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.DeferStmt:
			return !closes
		case *ast.CallExpr:
			cancelled = cancelled || expression(x.Fun) == cancel && (!closes || x.Pos() < end)
		}
		return true
	})
	return cancelled
}

// given returns whether the last value that a context was given before a place has a time
// to end at, and the name of what cancels it.
func (t *target) given(name string, end token.Pos) (timed bool, cancel string) {
	ast.Inspect(t.body, func(n ast.Node) bool {
		if _, isFunc := n.(*ast.FuncLit); isFunc {
			return false
		}
		s, ok := n.(*ast.AssignStmt)
		if !ok || s.Pos() >= end || expression(s.Lhs[0]) != name || len(s.Rhs) != 1 {
			return true
		}
		if s.Tok == token.DEFINE && !slices.Contains(t.body.List, ast.Stmt(s)) && !slices.Contains(t.in, ast.Stmt(s)) {
			return true // in a block beside the place
		}
		derived := (&target{creation: creation{name: name}}).mentions(s.Rhs[0])
		timed = endsAtATime(s.Rhs[0]) || timed && derived
		if len(s.Lhs) == 2 {
			cancel = expression(s.Lhs[1])
		} else if !derived {
			cancel = ""
		}
		return true
	})
	return timed, cancel
}

func endsAtATime(made ast.Expr) bool {
	call, ok := made.(*ast.CallExpr)
	if !ok {
		return false
	}
	_, name := selector(call.Fun)
	return strings.HasPrefix(name, "WithTimeout") || strings.HasPrefix(name, "WithDeadline")
}

package foreign

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
)

// closes reports whether the function returns only when the server has stopped. Where
// that is in doubt it does not: what is closed too early answers nothing any more.
func (t *target) closes() bool {
	if t.main {
		return true // the process ends with it
	}
	if t.handsBack() {
		return false
	}
	w := waiting{target: t}
	return slices.ContainsFunc(t.behind(), w.blocks)
}

// handsBack reports whether the function returns more than how it went, such as what
// stops a server: it has no caller before it returns.
func (t *target) handsBack() bool {
	return t.fn.Results != nil && slices.ContainsFunc(t.fn.Results.List, func(f *ast.Field) bool {
		return !slices.Contains([]string{"error", "int", "bool"}, expression(f.Type))
	})
}

// behind returns the statements that come after the place in its function, but for those
// between its own list and the outermost.
func (t *target) behind() []ast.Stmt {
	rest := t.in[t.at+1:]
	if len(t.in) == 0 || leaves(rest) {
		return rest
	}
	end := t.in[len(t.in)-1].End()
	i := slices.IndexFunc(t.body.List, func(s ast.Stmt) bool { return s.Pos() >= end })
	if i < 0 {
		return rest
	}
	return slices.Concat(rest, t.body.List[i:])
}

// A waiting looks for what a function waits at while the server runs: the server itself,
// or, where that runs in a goroutine or in a function literal, something behind it.
type waiting struct {
	*target
	elsewhere bool     // the server runs there
	groups    []string // of what was handed a function literal
}

func (w *waiting) blocks(stmt ast.Stmt) bool {
	found := false
	ast.Inspect(stmt, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.GoStmt:
			w.elsewhere = w.elsewhere || w.serves(x)
			return false
		case *ast.FuncLit:
			w.elsewhere = w.elsewhere || w.serves(&ast.ExprStmt{X: x})
			return false
		case *ast.SelectStmt:
			found = found || w.elsewhere && !passes(x)
			return false
		case *ast.UnaryExpr:
			found = found || w.elsewhere && x.Op == token.ARROW && !early(x.X)
		case *ast.CallExpr:
			found = found || w.serving(x) || w.elsewhere && w.waits(x)
			w.noteGroup(x)
		}
		return !found
	})
	return found
}

// waits reports whether a call waits for a group, as of errgroup, or runs one that was
// given its functions before.
func (w *waiting) waits(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && (sel.Sel.Name == "Wait" || sel.Sel.Name == "Run" && slices.Contains(w.groups, expression(sel.X)))
}

// noteGroup notes what a function literal is given to.
func (w *waiting) noteGroup(call *ast.CallExpr) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if ok && slices.ContainsFunc(call.Args, func(arg ast.Expr) bool { _, is := arg.(*ast.FuncLit); return is }) {
		w.groups = append(w.groups, expression(sel.X))
	}
}

// passes reports whether a select looks only whether the server has failed so far.
func passes(s *ast.SelectStmt) bool {
	return slices.ContainsFunc(s.Body.List, func(stmt ast.Stmt) bool {
		comm := stmt.(*ast.CommClause).Comm
		return comm == nil || early(comm)
	})
}

// early reports whether what is received comes while the server runs, as after a time or
// when it is ready.
func early(n ast.Node) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			found = found || atStart.MatchString(id.Name)
		}
		return !found
	})
	return found
}

var atStart = regexp.MustCompile(`(?i)^(after|timer|timeout)$|ready|start|listening`)

package foreign

import (
	"go/ast"
	"slices"
)

// refusal says why there is no router, of the one that was named the true reason: the
// library answers whole paths, which a router for what is below a prefix does not see.
func (s *search) refusal(format string, args ...any) error {
	p := part{name: s.variable, imports: s.pkg.in(s.file).imports}
	ast.Inspect(s.node, p.look)
	if p.of == "" {
		return s.errorf(format, args...)
	}
	whole, name := p.of, "name "+p.of
	if p.imports[p.of] {
		whole, name = "a router without a name", "give it one"
	}
	return s.errorf("has %s in line %d for what is below a prefix of %s, and the patterns answer whole paths: %s, or paste the lines and put http.StripPrefix around the handler",
		p.name, s.line(p.stmt.Pos()), whole, name)
}

// A part is a variable for those routes of a router that are below a prefix.
type part struct {
	name    string
	imports map[string]bool // of the file
	stmt    ast.Node        // that declares it
	of      string          // the router
}

// look takes the part that was named, or else one of a router that is made with it.
func (p *part) look(n ast.Node) bool {
	var name string
	var value ast.Expr
	switch s := n.(type) {
	case *ast.AssignStmt:
		name, value = expression(s.Lhs[0]), s.Rhs[0]
	case *ast.ValueSpec:
		if len(s.Values) > 0 {
			name, value = s.Names[0].Name, s.Values[0]
		}
	}
	of := prefixed(value)
	if of != "" && (name == p.name || p.name == "" && p.imports[of]) {
		p.name, p.stmt, p.of = name, n, of
	}
	return true
}

// prefixed returns of which router an expression is a part, as of r in
// r.PathPrefix("/api").Subrouter(), or in r.Group("/api"); else "".
func prefixed(expr ast.Expr) string {
	below := false
	for {
		call, ok := expr.(*ast.CallExpr)
		if !ok {
			break
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return ""
		}
		below = below || len(call.Args) > 0 && slices.Contains([]string{"PathPrefix", "Group", "Route"}, sel.Sel.Name)
		expr = sel.X
	}
	if !below {
		return ""
	}
	return expression(expr)
}

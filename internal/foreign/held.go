package foreign

import (
	"go/ast"
	"slices"
	"strconv"
)

// A held router is one that a struct has in a field.
type held struct {
	router   Router
	path     string // of the router's import
	field    string
	embedded bool
}

// in returns how a function speaks of the router of a variable.
func (h held) in(variable string) string {
	if h.embedded {
		return variable
	}
	return variable + "." + h.field
}

// holders returns the structs of a package, by their names, with the routers that they
// hold.
func holders(files ...*ast.File) map[string][]held {
	all := make(map[string][]held)
	for _, file := range files {
		names := routersByName(file)
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				t, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				if s, ok := t.Type.(*ast.StructType); ok {
					all[t.Name.Name] = heldBy(file, s, names)
				}
			}
		}
	}
	return all
}

func heldBy(file *ast.File, s *ast.StructType, names map[string]Router) (all []held) {
	for _, f := range s.Fields.List {
		r, name, ok := ofRouter(f.Type, names)
		if !ok {
			continue
		}
		h := held{router: r, path: importOf(file, r)}
		for _, id := range f.Names {
			h.field = id.Name
			all = append(all, h)
		}
		if len(f.Names) == 0 {
			h.field, h.embedded = name, true
			all = append(all, h)
		}
	}
	return all
}

// ofRouter reports whether a type is one by which a router is handed on, and its name.
func ofRouter(typ ast.Expr, names map[string]Router) (Router, string, bool) {
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	pkg, name := selector(typ)
	r, ok := names[pkg]
	return r, name, ok && (slices.Contains(routers[r].types, name) || slices.Contains(routers[r].groups, name))
}

// importOf returns the path by which a file imports a router.
func importOf(file *ast.File, router Router) string {
	for _, spec := range file.Imports {
		if imp, err := strconv.Unquote(spec.Path.Value); err == nil {
			if r, ok := routerOf(imp); ok && r == router {
				return imp
			}
		}
	}
	return ""
}

// handed returns the parameters by which a function is handed a router, and the fields
// of its receiver and parameters that hold one: what it need not make.
func handed(file *ast.File, fn *ast.FuncDecl, pkg known) (found []creation) {
	pkg = pkg.in(file)
	fields := fn.Type.Params.List
	if fn.Recv != nil {
		fields = slices.Concat(fields, fn.Recv.List)
	}
	for _, f := range fields {
		if len(f.Names) != 1 || f.Names[0].Name == "_" {
			continue
		}
		for _, c := range pkg.typed(file, f.Names[0].Name, f.Type) {
			c.in, c.fn, c.body = fn.Body.List, fn.Type, fn.Body
			found = append(found, c)
		}
	}
	return found
}

// chooseHanded takes the router that was named, or else the first that the function
// speaks of, of the package's variables the only one.
func (s *search) chooseHanded(handed, global []creation) (*target, error) {
	var t *target
	if len(global) > 0 && (s.variable != "" || !slices.ContainsFunc(handed, creation.spokenOf)) {
		if s.variable == "" && len(global) > 1 {
			return nil, s.which("speaks of", global)
		}
		handed = slices.Concat(global, handed)
	}
	for _, c := range slices.Backward(handed) {
		if c.name == s.variable || s.variable == "" && c.spokenOf() {
			t = newTarget(c)
		}
	}
	switch {
	case t != nil:
	case len(handed) == 0:
		return nil, s.refusal("makes no router, and is handed none (of net/http, chi, gin, echo or gorilla/mux)")
	case s.variable != "":
		return nil, s.refusal("makes no router %s, and is handed none", s.variable)
	default:
		t = newTarget(handed[0])
	}
	t.at = -1
	t.settle()
	return t, nil
}

// spokenOf reports whether the function that has a router speaks of it by its own name.
func (c creation) spokenOf() bool { return (&target{creation: c}).mentions(c.body) }

package foreign

import (
	"cmp"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// declared returns the routers that are variables of the package, or fields of such, by
// their types or by what they are declared with.
func (pkg known) declared(files []*ast.File) (found []creation) {
	for _, file := range files {
		pkg := pkg.in(file)
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				found = append(found, pkg.ofSpec(file, spec.(*ast.ValueSpec))...)
			}
		}
	}
	for i := range found {
		found[i].global, found[i].catcher = true, catcher(files, found[i].name)
	}
	return found
}

func (pkg known) ofSpec(file *ast.File, v *ast.ValueSpec) (found []creation) {
	for _, id := range v.Names {
		if v.Type != nil {
			found = append(found, pkg.typed(file, id.Name, v.Type)...)
		}
	}
	if v.Type == nil && len(v.Values) == 1 {
		for _, c := range (creation{}).declared(v, pkg) {
			c.path = cmp.Or(c.path, importOf(file, c.router))
			found = append(found, c)
		}
	}
	return found
}

// catcher returns the first function that leads all requests somewhere by a variable of
// the package.
func catcher(files []*ast.File, router string) string {
	for _, file := range files {
		for _, decl := range file.Decls {
			for _, f := range functions(decl) {
				if fn, ok := f.node.(*ast.FuncDecl); ok && catchesAll(fn.Body, router) && !hides(fn, router) {
					return f.name
				}
			}
		}
	}
	return ""
}

// global returns the routers of the package's variables that a function speaks of, or
// that was named, and that it does not make. Where none was named it is the one that the
// function serves, if there is just one; no other counts beside a router that has a place
// in the function.
func (s *search) global(fn *ast.FuncDecl, made []creation, placed bool) []creation {
	found, served := s.pkg.global(fn, made, s.variable)
	if s.variable == "" && (len(served) == 1 || placed) {
		return served
	}
	return found
}

// global returns all of them, and those that the function serves or returns.
func (pkg known) global(fn ast.Node, made []creation, variable string) (found, served []creation) {
	d, ok := fn.(*ast.FuncDecl)
	if !ok {
		return nil, nil
	}
	for _, c := range pkg.variables {
		c.in, c.fn, c.body = d.Body.List, d.Type, d.Body
		same := func(o creation) bool { return o.name == c.name } // made, or declared for another build
		if slices.ContainsFunc(made, same) || slices.ContainsFunc(found, same) || hides(d, c.name) || c.name != variable && !c.spokenOf() {
			continue
		}
		found = append(found, c)
		if slices.ContainsFunc(c.in, newTarget(c).hands) {
			served = append(served, c)
		}
	}
	return found, served
}

// hides reports whether a function has another thing by the name of a package's variable.
func hides(fn *ast.FuncDecl, variable string) bool {
	root, _, _ := strings.Cut(variable, ".")
	hidden := takes(fn.Type, root)
	if fn.Recv != nil {
		hidden = hidden || slices.ContainsFunc(fn.Recv.List, func(f *ast.Field) bool { return named(f, root) })
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		hidden = hidden || n != nil && declares(n, root)
		return !hidden
	})
	return hidden
}

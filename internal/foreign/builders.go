package foreign

import (
	"go/ast"
	"slices"
	"strconv"
)

// What is known of a package by its files' syntax.
type known struct {
	structs map[string][]held
	// builders are the functions that return a router, by their names; those of methods
	// begin with a dot. It is nil where methods of one name return different things.
	builders map[string]*builder
	// variables are the package's that are a router, or have one in a field.
	variables []creation
	// names are the routers that the file which is looked at imports, and imports all
	// names of its imports.
	names   map[string]Router
	imports map[string]bool
}

// A builder is a function or method that returns a router.
type builder struct {
	name   string
	router Router
	path   string // of the router's import
	result int
	// catches says that it leads all requests somewhere that nothing else takes.
	catches bool
}

func knownOf(files ...*ast.File) known {
	pkg := known{structs: holders(files...), builders: make(map[string]*builder)}
	for _, file := range files {
		names := routersByName(file)
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			b := builds(file, fn, names)
			name := fn.Name.Name
			if fn.Recv != nil {
				name = "." + name
			}
			if other, ok := pkg.builders[name]; ok && (b == nil || other == nil || b.router != other.router || b.result != other.result) {
				b = nil
			}
			pkg.builders[name] = b
		}
	}
	pkg.variables = pkg.declared(files)
	return pkg
}

// typed returns the routers that a variable of a type has: itself, or in fields.
func (pkg known) typed(file *ast.File, name string, typ ast.Expr) (found []creation) {
	if r, is, ok := ofRouter(typ, pkg.names); ok {
		return []creation{{router: r, path: importOf(file, r), name: name, group: is == "RouterGroup" || is == "Group"}}
	}
	for _, h := range pkg.structs[receiver(typ)] {
		found = append(found, creation{router: h.router, path: h.path, name: h.in(name), holder: name})
	}
	return found
}

// in returns what is known, for a file of the package.
func (pkg known) in(file *ast.File) known {
	pkg.names, pkg.imports = routersByName(file), make(map[string]bool)
	for _, spec := range file.Imports {
		if imp, err := strconv.Unquote(spec.Path.Value); err == nil {
			pkg.imports[localName(spec, imp)] = true
		}
	}
	return pkg
}

// builds returns what a function builds, nil if that is no router.
func builds(file *ast.File, fn *ast.FuncDecl, names map[string]Router) *builder {
	if fn.Type.Results == nil {
		return nil
	}
	i := 0
	for _, f := range fn.Type.Results.List {
		if r, name, ok := ofRouter(f.Type, names); ok && slices.Contains(routers[r].types, name) {
			return &builder{fn.Name.Name, r, importOf(file, r), i, fn.Body != nil && catchesAll(fn.Body, "")}
		}
		i += max(1, len(f.Names))
	}
	return nil
}

// builder returns which function of the package is called, nil if it returns no router.
func (pkg known) builder(fun ast.Expr) *builder {
	switch f := fun.(type) {
	case *ast.Ident:
		return pkg.builders[f.Name]
	case *ast.SelectorExpr:
		if x := expression(f.X); x != "" && !pkg.imports[x] {
			return pkg.builders["."+f.Sel.Name]
		}
	}
	return nil
}

// holds reports whether a variable of a type can have a router: as such, or in a field.
func (pkg known) holds(typ ast.Expr) bool {
	_, _, ok := ofRouter(typ, pkg.names)
	return ok || len(pkg.structs[receiver(typ)]) > 0
}

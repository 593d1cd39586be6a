package foreign

import (
	"errors"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"sync"
)

// Sources returns the Go files of a file's package, itself among them, by their names.
func Sources(fsys fs.FS, name string) (map[string][]byte, error) {
	entries, err := fs.ReadDir(fsys, path.Dir(name))
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, entry := range entries {
		other := path.Join(path.Dir(name), entry.Name())
		if !isSource(other) || !entry.Type().IsRegular() {
			continue
		}
		if files[other], err = fs.ReadFile(fsys, other); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// constants returns what says which string an expression of a file is, by the constants
// of its package as far as pkg has that. Types are only looked at when that is asked
// for what is no literal.
func constants(fset *token.FileSet, file *ast.File, name string, pkg map[string][]byte) func(ast.Expr) (string, bool) {
	known := sync.OnceValue(func() map[ast.Expr]types.TypeAndValue {
		files := []*ast.File{file}
		for _, other := range slices.Sorted(maps.Keys(pkg)) {
			if f, err := parser.ParseFile(fset, other, pkg[other], parser.SkipObjectResolution); err == nil && other != name {
				files = append(files, f)
			}
		}
		hideTwice(files)
		info := &types.Info{Types: make(map[ast.Expr]types.TypeAndValue)}
		conf := types.Config{Importer: onlyMethods{}, FakeImportC: true, Error: func(error) {}}
		_, _ = conf.Check(file.Name.Name, fset, files, info) // what is unknown is no constant
		return info.Types
	})
	return func(expr ast.Expr) (string, bool) {
		if texts := literals([]ast.Expr{expr}); len(texts) == 1 {
			return texts[0], true
		}
		value := known()[expr].Value
		if value == nil || value.Kind() != constant.String {
			return "", false
		}
		return constant.StringVal(value), true
	}
}

// hideTwice hides constants that several files declare, each for another build: which of
// them counts is not known.
func hideTwice(files []*ast.File) {
	declared := make(map[string][]*ast.Ident)
	for _, file := range files {
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				for _, id := range spec.(*ast.ValueSpec).Names {
					declared[id.Name] = append(declared[id.Name], id)
				}
			}
		}
	}
	for _, ids := range declared {
		for _, id := range ids {
			if len(ids) > 1 {
				id.Name = "_"
			}
		}
	}
}

// onlyMethods imports of net/http the names of methods, and nothing else.
type onlyMethods struct{}

func (onlyMethods) Import(imp string) (*types.Package, error) {
	if imp != "net/http" {
		return nil, errors.New("not looked at")
	}
	pkg := types.NewPackage(imp, "http")
	for name, value := range map[string]string{
		"MethodGet": http.MethodGet, "MethodHead": http.MethodHead, "MethodPost": http.MethodPost, "MethodPut": http.MethodPut,
		"MethodPatch": http.MethodPatch, "MethodDelete": http.MethodDelete, "MethodOptions": http.MethodOptions,
	} {
		pkg.Scope().Insert(types.NewConst(token.NoPos, pkg, name, types.Typ[types.UntypedString], constant.MakeString(value)))
	}
	pkg.MarkComplete()
	return pkg, nil
}

package merge

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"strings"
)

// A goFile is a version of a file that parses.
type goFile struct {
	src   []byte
	fset  *token.FileSet
	ast   *ast.File
	lists map[string]*list
	// base says that it is what was written before, of which git may have joined the
	// lines of two: what is there twice is there once.
	base bool
}

func parseGo(src []byte) *goFile {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil
	}
	return &goFile{src: src, fset: fset, ast: file}
}

func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "." + d.Name.Name
	}
	return "?." + d.Name.Name
}

func (f *goFile) offset(pos token.Pos) int { return f.fset.Position(pos).Offset }

func (f *goFile) text(n ast.Node) string {
	return string(f.src[f.offset(n.Pos()):f.offset(n.End())])
}

// normalize returns Go source without the space that gofmt decides about.
func normalize(src string) string {
	var s scanner.Scanner
	fset := token.NewFileSet()
	s.Init(fset.AddFile("", -1, len(src)), []byte(src), nil, scanner.ScanComments)
	var b strings.Builder
	for {
		_, tok, lit := s.Scan()
		switch {
		case tok == token.EOF:
			return strings.TrimSpace(b.String())
		case tok == token.SEMICOLON && lit == "\n":
			continue
		case lit != "":
			b.WriteString(lit)
		default:
			b.WriteString(tok.String())
		}
		b.WriteByte(' ')
	}
}

// repeated returns what a file has twice: imports, declarations, fields and
// elements that are known by a name. Only init and _ may be.
func (f *goFile) repeated() []string {
	top := counter{}
	for _, decl := range f.ast.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if name := funcName(d); name != "init" {
				top.see(name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				top.seeSpec(spec)
			}
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.StructType:
			fields := counter{}
			for _, e := range f.fields(x) {
				fields.see(e.key)
			}
			top.twice = append(top.twice, fields.twice...)
		case *ast.CompositeLit:
			elems := counter{}
			for _, e := range x.Elts {
				switch e.(type) {
				case *ast.KeyValueExpr, *ast.CompositeLit:
					elems.see(f.elemKey(e))
				}
			}
			top.twice = append(top.twice, elems.twice...)
		}
		return true
	})
	return top.twice
}

// A counter collects the names that it sees more than once.
type counter struct {
	seen  map[string]bool
	twice []string
}

func (c *counter) see(name string) {
	if name == "_" {
		return
	}
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	if c.seen[name] {
		c.twice = append(c.twice, name)
	}
	c.seen[name] = true
}

func (c *counter) seeSpec(spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.ImportSpec:
		name := ""
		if s.Name != nil {
			name = s.Name.Name + " "
		}
		c.see("import " + name + s.Path.Value)
	case *ast.TypeSpec:
		c.see(s.Name.Name)
	case *ast.ValueSpec:
		for _, n := range s.Names {
			c.see(n.Name)
		}
	}
}

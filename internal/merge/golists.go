package merge

import (
	"bytes"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// A list is a stretch of a file that holds elements, each on lines of its own or
// all on one.
type list struct {
	from, to int // offsets: behind the opening bracket, start of the closing one's line
	items    []item
	ordered  bool // a slice or an array: its order means something
	oneLine  bool // the elements stand on the line of the brackets
	// around is what must stand before and behind the items where the file has
	// no brackets yet.
	around [2]string
}

// findLists fills in the lists: "import", "type T" for a struct, and "F []T" or
// "var v []T" for the first literal of that type there ("F []T 2" the second).
func (f *goFile) findLists() {
	f.lists = map[string]*list{}
	f.findImports()
	for _, decl := range f.ast.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			f.findLiterals(funcName(d), d)
		case *ast.GenDecl:
			f.findInDecl(d)
		}
	}
}

// findImports adds the imports of a file that has at most one declaration of
// them. One without brackets, or none at all, is a list, too.
func (f *goFile) findImports() {
	var imports *ast.GenDecl
	for _, decl := range f.ast.Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.IMPORT {
			if imports != nil {
				return
			}
			imports = d
		}
	}
	switch {
	case imports == nil:
		at := f.offset(f.ast.Name.End())
		if f.src[min(at, len(f.src)-1)] == '\n' {
			f.lists["import"] = &list{from: at, to: at, around: [2]string{"\n\nimport (", ")"}}
		}
	case imports.Lparen.IsValid():
		var elems []elem
		for _, spec := range imports.Specs {
			elems = append(elems, elem{node: spec, key: importKey(spec)})
		}
		f.add("import", imports.Lparen, imports.Rparen, elems)
	default:
		spec := imports.Specs[0]
		body := "\t" + f.text(spec) + "\n"
		f.lists["import"] = &list{
			from: f.offset(spec.Pos()), to: f.offset(spec.End()),
			items:  []item{{key: importKey(spec), body: body, norm: normalize(body)}},
			around: [2]string{"(", ")"},
		}
	}
}

func importKey(spec ast.Spec) string { return spec.(*ast.ImportSpec).Path.Value }

func (f *goFile) findInDecl(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if t, ok := s.Type.(*ast.StructType); ok {
				f.add("type "+s.Name.Name, t.Fields.Opening, t.Fields.Closing, f.fields(t))
			}
		case *ast.ValueSpec:
			f.findLiterals("var "+s.Names[0].Name, s)
		}
	}
}

// An elem is an element of a list and what it is known by.
type elem struct {
	node ast.Node
	key  string
	rest string // see [item]
}

func (f *goFile) fields(t *ast.StructType) []elem {
	var elems []elem
	for _, field := range t.Fields.List {
		var names []string
		for _, n := range field.Names {
			names = append(names, n.Name)
		}
		if len(names) == 0 {
			names = []string{"embedded " + normalize(f.text(field.Type))}
		}
		elems = append(elems, elem{node: field, key: strings.Join(names, ",")})
	}
	return elems
}

// findLiterals adds the slice, array and map literals below a node, not those
// inside of another one.
func (f *goFile) findLiterals(where string, root ast.Node) {
	seen := map[string]int{}
	ast.Inspect(root, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		ordered := false
		switch lit.Type.(type) {
		case *ast.ArrayType:
			ordered = true
		case *ast.MapType:
		default:
			return true
		}
		name := where + " " + normalize(f.text(lit.Type))
		if seen[name]++; seen[name] > 1 {
			name += " " + strconv.Itoa(seen[name])
		}
		var elems []elem
		for _, e := range lit.Elts {
			elems = append(elems, elem{e, f.elemKey(e), f.elemRest(e)})
		}
		f.add(name, lit.Lbrace, lit.Rbrace, elems)
		if l := f.lists[name]; l != nil {
			l.ordered = ordered
		}
		return false
	})
}

// elemKey returns what an element of a literal is known by: the key of a map's,
// the string that a struct's starts with, else its text.
func (f *goFile) elemKey(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.KeyValueExpr:
		return normalize(f.text(x.Key))
	case *ast.CompositeLit:
		if len(x.Elts) == 0 {
			break
		}
		first := x.Elts[0]
		if kv, ok := first.(*ast.KeyValueExpr); ok {
			first = kv.Value
		}
		if s, ok := first.(*ast.BasicLit); ok && s.Kind == token.STRING {
			return s.Value
		}
	}
	return normalize(f.text(e))
}

// elemRest returns what a struct in a literal holds besides the string that it
// is known by, or "" if it is known by all of its text.
func (f *goFile) elemRest(e ast.Expr) string {
	lit, ok := e.(*ast.CompositeLit)
	if !ok || len(lit.Elts) < 2 || f.elemKey(e) == normalize(f.text(e)) {
		return ""
	}
	var rest []string
	for _, x := range lit.Elts[1:] {
		rest = append(rest, normalize(f.text(x)))
	}
	return strings.Join(rest, ", ")
}

// add adds a list if its elements stand on lines of their own, or are a literal's
// on one line.
func (f *goFile) add(name string, opening, closing token.Pos, elems []elem) {
	if !opening.IsValid() || f.lists[name] != nil {
		return
	}
	l := &list{from: f.offset(opening) + 1, to: f.offset(closing)}
	if l.from == l.to {
		f.lists[name] = l
		return
	}
	inside := f.src[l.from:l.to]
	if inside[0] != '\n' {
		if l.items, l.oneLine = f.onOneLine(l, elems); l.oneLine {
			f.lists[name] = l
		}
		return
	}
	l.to = l.from + bytes.LastIndexByte(inside, '\n') + 1
	if len(bytes.TrimSpace(f.src[l.to:f.offset(closing)])) > 0 {
		return
	}
	items, ok := f.items(l.from+1, l.to, elems)
	if !ok {
		return
	}
	l.items = items
	f.lists[name] = l
}

// items cuts the lines from..to into items. A comment that stands by itself is
// an item, too.
func (f *goFile) items(from, to int, elems []elem) ([]item, bool) {
	var items []item
	var comment string
	var gap string
	flush := func() {
		if comment != "" {
			items = append(items, item{key: "// " + comment, gap: gap, body: comment, norm: comment})
			comment, gap = "", ""
		}
	}
	for at := from; at < to; {
		end := at + bytes.IndexByte(f.src[at:], '\n') + 1
		text := bytes.TrimSpace(f.src[at:end])
		switch {
		case len(elems) > 0 && f.startsIn(elems[0], at, end):
			e := elems[0]
			if len(bytes.TrimSpace(f.src[at:f.offset(e.node.Pos())])) > 0 {
				return nil, false
			}
			last := f.offset(e.node.End())
			end = last + bytes.IndexByte(f.src[last:], '\n') + 1
			if elems = elems[1:]; len(elems) > 0 && f.startsIn(elems[0], at, end) {
				return nil, false
			}
			body := string(f.src[at:end])
			items = append(items, item{key: e.key, gap: gap, lead: comment, body: body, norm: normalize(body), rest: e.rest})
			comment, gap = "", ""
		case len(text) == 0:
			flush()
			gap += string(f.src[at:end])
		case bytes.HasPrefix(text, []byte("//")):
			comment += string(f.src[at:end])
		default:
			return nil, false // a /* comment */ or a part of one
		}
		at = end
	}
	flush()
	if len(elems) > 0 {
		return nil, false
	}
	return f.known(items)
}

// onOneLine returns the elements of a literal that stands on one line, each as an
// item with a line of its own, and false where there is more there than elements.
func (f *goFile) onOneLine(l *list, elems []elem) ([]item, bool) {
	var items []item
	at := l.from
	for _, e := range elems {
		expr, ok := e.node.(ast.Expr)
		if !ok || len(bytes.Trim(f.src[at:f.offset(expr.Pos())], ", ")) > 0 {
			return nil, false
		}
		at = f.offset(expr.End())
		body := "\t" + f.text(expr) + ",\n"
		items = append(items, item{key: e.key, body: body, norm: normalize(body), rest: e.rest})
	}
	if len(bytes.Trim(f.src[at:l.to], ", ")) > 0 {
		return nil, false
	}
	return f.known(items)
}

// known returns the items with keys that tell them apart, and false where nothing
// does.
func (f *goFile) known(items []item) ([]item, bool) {
	if f.base {
		seen := make(map[string]bool)
		items = slices.DeleteFunc(items, func(it item) bool {
			again := seen[it.norm]
			seen[it.norm] = true
			return again
		})
	}
	if !distinct(items) {
		for i := range items {
			items[i].key = items[i].norm
		}
	}
	return items, distinct(items)
}

// startsIn reports whether an element, not counting a comment above it, starts
// between two offsets.
func (f *goFile) startsIn(e elem, from, to int) bool {
	at := f.offset(e.node.Pos())
	return from <= at && at < to
}

// replace returns the source with the named lists replaced.
func (f *goFile) replace(texts map[string]string) []byte {
	var names []string
	for name := range texts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int { return f.lists[x].from - f.lists[y].from })
	var out []byte
	at := 0
	for _, name := range names {
		l := f.lists[name]
		out = append(out, f.src[at:l.from]...)
		out = append(out, l.around[0]+texts[name]+l.around[1]...)
		at = l.to
	}
	return append(out, f.src[at:]...)
}

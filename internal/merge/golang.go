package merge

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/scanner"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// mergeGo merges by lines, and where that does not give a sound file, again
// with the lists in it (imports, the fields of a struct, the elements of a
// literal) merged as lists beforehand.
//
// If the inputs parse, so does a clean result, and it declares nothing twice.
// If the sides are gofmt-clean, so is the result.
func mergeGo(base, ours, theirs []byte, labels Labels) Result {
	lines := newMerge3(base, ours, theirs)
	byLines := lines.render(labels)
	if byLines.Clean() {
		if f := parseGo(byLines.Data); f != nil && len(f.repeated()) == 0 && gofmtClean(byLines.Data) {
			return byLines // by far the most frequent case, found without a look at the inputs
		}
	}
	all := versions{parseGo(base), parseGo(ours), parseGo(theirs)}
	if all[0] == nil || all[1] == nil || all[2] == nil {
		return byLines // nothing to hold the result against
	}
	var broken *Conflict
	if byLines.Clean() {
		var data []byte
		if data, broken = all.accept(byLines.Data); broken == nil {
			return Result{Data: data}
		}
	}
	byLists, ok := all.mergeLists(labels)
	if ok && byLists.Clean() {
		data, stillBroken := all.accept(byLists.Data)
		if stillBroken == nil {
			return Result{Data: data}
		}
		if broken == nil {
			broken = stillBroken
		}
	}
	switch {
	case broken != nil:
		return lines.renderAll(labels, broken.Reason, broken.Why)
	case ok:
		return byLists
	default:
		return byLines
	}
}

// A goFile is a version of a file that parses.
type goFile struct {
	src   []byte
	fset  *token.FileSet
	ast   *ast.File
	lists map[string]*list
}

// A list is a stretch of a file that holds elements, each on lines of its own.
type list struct {
	from, to int // offsets: behind the opening bracket, start of the closing one's line
	items    []item
	ordered  bool // a slice or an array: its order means something
	// around is what must stand before and behind the items where the file has
	// no brackets yet.
	around [2]string
}

type versions [3]*goFile // base, ours, theirs

func parseGo(src []byte) *goFile {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil
	}
	return &goFile{src: src, fset: fset, ast: file}
}

// accept returns the merged file as it may stand, gofmt-clean if both sides
// were, or what is wrong with it.
func (v versions) accept(data []byte) ([]byte, *Conflict) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", data, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, &Conflict{Reason: Syntax, Why: "merged line by line it does not parse: " + parseError(err)}
	}
	merged := &goFile{src: data, fset: fset, ast: file}
	before := slices.Concat(v[1].repeated(), v[2].repeated())
	for _, name := range merged.repeated() {
		if !slices.Contains(before, name) {
			return nil, &Conflict{Reason: Duplicate, Why: "merged line by line it has " + name + " twice"}
		}
	}
	if gofmtClean(data) || !gofmtClean(v[1].src) || !gofmtClean(v[2].src) {
		return data, nil
	}
	for range 3 { // formatting a doc comment anew may take more than one pass
		formatted, err := format.Source(data)
		if err == nil && bytes.Equal(formatted, data) {
			return data, nil
		}
		data = formatted
	}
	return nil, &Conflict{Reason: Format, Why: "merged line by line gofmt does not settle on a form of it"}
}

func parseError(err error) string {
	if list, ok := err.(scanner.ErrorList); ok && len(list) > 0 { //nolint:errorlint // the parser documents this type
		return fmt.Sprintf("line %d: %s", list[0].Pos.Line, list[0].Msg)
	}
	return err.Error()
}

func gofmtClean(src []byte) bool {
	formatted, err := format.Source(src)
	return err == nil && bytes.Equal(formatted, src)
}

// mergeLists merges the lists that all versions have, puts the outcome into all
// three, and merges what is around them by lines. It reports whether there was
// such a list; the sides must be gofmt-clean, because their lines are moved.
func (v versions) mergeLists(labels Labels) (Result, bool) {
	if !gofmtClean(v[1].src) || !gofmtClean(v[2].src) {
		return Result{}, false
	}
	for _, f := range v {
		f.findLists()
	}
	done := map[string]string{}
	for name, base := range v[0].lists {
		ours, theirs := v[1].lists[name], v[2].lists[name]
		if ours == nil || theirs == nil {
			continue
		}
		var items []item
		var ok bool
		switch {
		case name == "import":
			items, ok = mergeImports(base.items, ours.items, theirs.items)
		case base.ordered:
			items, ok = mergeOrdered(base.items, ours.items, theirs.items)
		default:
			items, ok = mergeItems(base.items, ours.items, theirs.items, noMerge)
		}
		if ok && (len(items) > 0 || name != "import") {
			done[name] = "\n" + write(items)
		}
	}
	if len(done) == 0 {
		return Result{}, false
	}
	r := newMerge3(v[0].replace(done), v[1].replace(done), v[2].replace(done)).render(labels)
	return r, true
}

func noMerge(_, _, _ *item) (string, bool) { return "", false }

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

// add adds a list if its elements stand on lines of their own.
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

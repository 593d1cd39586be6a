package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A Library is the package that scaffold adds to a module.
type Library struct{ Import, Package string }

// A Wiring is what has to stand in a function for a library to run.
type Wiring struct {
	Site Site
	// Lines are the statements, and Imports what they need that the file does not
	// import yet.
	Lines, Imports []string
	// Closes says that the lines close the library when the function returns.
	Closes bool
	// Data is the file with both put in.
	Data []byte
}

// ErrWired says that a function's file imports the library already.
var ErrWired = errors.New("is wired already")

// Wire works out how the library is wired into a function, which is named as in
// "main", "Server.routes" or, for a function literal, by the variable that holds
// it. The router is the one that the function makes, or the one that it is handed.
//
// The file keeps its comments, and its form where that is gofmt's. The error says
// why it can't be done; it is [ErrWired] where it was done before.
func Wire(fsys fs.FS, name, fn string, lib Library) (*Wiring, error) {
	src, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file in the module", name)
	}
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("%w (mend it, then run this again)", err)
	}
	for _, spec := range file.Imports {
		if imp, err := strconv.Unquote(spec.Path.Value); err == nil && imp == lib.Import {
			return nil, fmt.Errorf("%s: %w: it imports %s", name, ErrWired, lib.Import)
		}
	}
	t, err := locate(fset, file, name, fn)
	if err != nil {
		return nil, err
	}
	e := &edit{fset: fset, file: file, src: src, names: declared(file), library: lib.Import}
	if err := e.packageNames(fsys, name); err != nil {
		return nil, err
	}
	w := &Wiring{Site: t.site, Closes: t.closes()}
	w.Lines = e.lines(t, lib, w.Closes)
	for _, imp := range e.imports {
		w.Imports = append(w.Imports, imp.String())
	}
	w.Data, err = e.apply(t, w.Lines)
	return w, err
}

// A target is a place in a function at which the router is there and not in use.
type target struct {
	creation
	site Site
	main bool
	// at is the index of the statement in creation.in that the lines come after;
	// -1 for the start.
	at   int
	file *ast.File
}

func locate(fset *token.FileSet, file *ast.File, name, fn string) (*target, error) {
	var names []string
	for _, decl := range file.Decls {
		for _, f := range functions(decl) {
			names = append(names, f.name)
			if f.name != strings.TrimPrefix(strings.NewReplacer("(*", "", ")", "").Replace(fn), "*") {
				continue
			}
			t := &target{file: file, main: f.name == "main"}
			made := creations(file, f)
			slices.SortStableFunc(made, func(a, b creation) int { return int(b.router - a.router) })
			if len(made) > 0 {
				t.creation = made[0]
				t.at = slices.Index(t.in, t.stmt)
			} else if d, ok := f.node.(*ast.FuncDecl); ok {
				t.router, t.name, ok = handed(file, d)
				if !ok {
					return nil, fmt.Errorf("%s: %s makes no router, and is handed none (of net/http, chi, gin, echo or gorilla/mux)", name, fn)
				}
				t.in, t.fn, t.body, t.at = d.Body.List, d.Type, d.Body, -1
			} else {
				return nil, fmt.Errorf("%s: %s makes no router", name, fn)
			}
			t.site = Site{File: name, Line: fset.Position(f.node.Pos()).Line, Func: f.name, Var: t.name}
			if t.stmt != nil {
				t.site.Line = fset.Position(t.stmt.Pos()).Line
			}
			for i := t.at + 1; i < len(t.in) && !t.serves(t.in[i]); i++ {
				if t.mentions(t.in[i]) {
					t.at = i
				}
			}
			return t, nil
		}
	}
	return nil, fmt.Errorf("%s: has no function %s (it has %s)", name, fn, strings.Join(names, ", "))
}

// mentions reports whether a node speaks of the router.
func (t *target) mentions(n ast.Node) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		if x, ok := n.(ast.Expr); ok && expression(x) == t.name {
			found = true
		}
		return !found
	})
	return found
}

// serves reports whether a statement hands the finished router to a server, or
// leaves the function: what comes behind it is too late.
func (t *target) serves(stmt ast.Stmt) bool {
	if _, ok := stmt.(*ast.ReturnStmt); ok {
		return true
	}
	found := false
	ast.Inspect(stmt, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.CompositeLit:
			found = found || t.mentions(x)
		case *ast.CallExpr:
			sel, ok := x.Fun.(*ast.SelectorExpr)
			name := ""
			if ok {
				name = sel.Sel.Name
			} else if id, isName := x.Fun.(*ast.Ident); isName {
				name = id.Name
			}
			verb := strings.TrimPrefix(strings.ToLower(name), "must")
			serving := slices.ContainsFunc([]string{"run", "start", "listen", "serve"}, func(v string) bool { return strings.HasPrefix(verb, v) })
			onRouter := ok && expression(sel.X) == t.name
			withRouter := slices.ContainsFunc(x.Args, func(arg ast.Expr) bool { return t.mentions(arg) })
			if serving && (onRouter || withRouter || strings.HasPrefix(verb, "listen")) {
				found = true
			}
		}
		return !found
	})
	return found
}

// closes reports whether the function returns only when the server has stopped.
func (t *target) closes() bool {
	if t.main {
		return true
	}
	return slices.ContainsFunc(t.in[t.at+1:], func(stmt ast.Stmt) bool {
		_, returns := stmt.(*ast.ReturnStmt)
		call := false
		ast.Inspect(stmt, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			call = call || ok && t.serves(&ast.ExprStmt{X: c})
			return !call
		})
		return call && (!returns || t.serves(stmt))
	})
}

// declared returns the names that a file declares at any place, its imports'
// apart.
func declared(file *ast.File) map[string]bool {
	names := make(map[string]bool)
	add := func(ids ...*ast.Ident) {
		for _, id := range ids {
			names[id.Name] = true
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.FuncDecl:
			if x.Recv == nil {
				add(x.Name)
			}
		case *ast.Field:
			add(x.Names...)
		case *ast.ValueSpec:
			add(x.Names...)
		case *ast.TypeSpec:
			add(x.Name)
		case *ast.AssignStmt:
			for _, l := range x.Lhs {
				if id, ok := l.(*ast.Ident); ok && x.Tok == token.DEFINE {
					add(id)
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{x.Key, x.Value} {
				if id, ok := e.(*ast.Ident); ok {
					add(id)
				}
			}
		}
		return true
	})
	return names
}

// An addition is an import to add.
type addition struct{ name, path string }

func (a addition) String() string {
	if a.name == "" {
		return strconv.Quote(a.path)
	}
	return a.name + " " + strconv.Quote(a.path)
}

// An edit puts lines into a file.
type edit struct {
	fset    *token.FileSet
	file    *ast.File
	src     []byte
	names   map[string]bool // taken in the file or its package
	imports []addition
	library string // its import path
}

// packageNames notes what the package's other files declare: no import may be
// named so.
func (e *edit) packageNames(fsys fs.FS, name string) error {
	entries, err := fs.ReadDir(fsys, path.Dir(name))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		other := path.Join(path.Dir(name), entry.Name())
		if other == name || !isSource(other) || !entry.Type().IsRegular() {
			continue
		}
		data, err := fs.ReadFile(fsys, other)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), other, data, parser.SkipObjectResolution)
		if file == nil {
			return err
		}
		for _, decl := range file.Decls {
			for _, f := range functions(decl) {
				e.names[f.name] = true
			}
			if gen, ok := decl.(*ast.GenDecl); ok {
				for _, spec := range gen.Specs {
					if t, ok := spec.(*ast.TypeSpec); ok {
						e.names[t.Name.Name] = true
					}
				}
			}
		}
	}
	return nil
}

// use returns the name by which the lines speak of a package, and notes its
// import if the file has none that they can use.
func (e *edit) use(imp, name string) string {
	taken := make(map[string]bool)
	for _, spec := range e.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		local := localName(spec, p)
		if p == imp && local != "_" && local != "." && !e.names[local] {
			return local
		}
		taken[local] = true
	}
	add := addition{path: imp}
	if local := name; taken[local] || e.names[local] {
		add.name = "std" + name
		if imp == e.library {
			add.name = "scaffold" + name
		}
		name = add.name
	} else if path.Base(imp) != name {
		add.name = name
	}
	if !slices.Contains(e.imports, add) {
		e.imports = append(e.imports, add)
	}
	return name
}

// free returns the first of names that is not taken.
func (e *edit) free(names ...string) string {
	for _, name := range names {
		if !e.names[name] {
			return name
		}
	}
	return names[len(names)-1]
}

// lines returns the statements that wire the library.
func (e *edit) lines(t *target, lib Library, closes bool) []string {
	app := e.free("added", "addedPatterns", "addedByScaffold")
	ctx := e.context(t)
	if ctx == "" {
		ctx = e.use("context", "context") + ".Background()"
	}
	library := e.use(lib.Import, lib.Package)
	lines := []string{
		fmt.Sprintf("%s, err := %s.New(%s, %s.Getenv, %s.Default())", app, library, ctx, e.use("os", "os"), e.use("log/slog", "slog")),
		"if err == nil {",
		"\terr = " + app + ".Start(" + ctx + ")",
		"}",
		"if err != nil {",
		"\t" + e.fail(t),
		"}",
	}
	if closes {
		lines = append(lines, "defer "+app+".Close()")
	}
	for local, r := range routersByName(e.file) {
		if r == t.router {
			return append(lines, mount(r, local, t.name, app)...)
		}
	}
	return append(lines, Mount(t.router, t.name, app)...)
}

// context returns the name of a context that the function has at the target.
func (e *edit) context(t *target) string {
	for _, field := range t.fn.Params.List {
		if _, name := selector(field.Type); name == "Context" && len(field.Names) > 0 && expression(field.Type) == "context.Context" {
			if field.Names[0].Name != "_" {
				return field.Names[0].Name
			}
		}
	}
	before := t.body.List
	if len(t.in) > 0 && len(before) > 0 && &t.in[0] == &before[0] {
		before = before[:t.at+1]
	} else {
		before = t.in[:t.at+1]
	}
	for _, stmt := range before {
		if s, ok := stmt.(*ast.AssignStmt); ok && s.Tok == token.DEFINE && expression(s.Lhs[0]) == "ctx" {
			return "ctx"
		}
	}
	return ""
}

// fail returns the statement that ends the function with err: by returning it
// where it returns errors and what else it returns has a zero value that can be
// told from its type's syntax.
func (e *edit) fail(t *target) string {
	var results []ast.Expr
	if t.fn.Results != nil {
		for _, field := range t.fn.Results.List {
			for range max(1, len(field.Names)) {
				results = append(results, field.Type)
			}
		}
	}
	if n := len(results); n > 0 && expression(results[n-1]) == "error" {
		zeros := make([]string, 0, n)
		for _, typ := range results[:n-1] {
			if zero := zero(typ); zero != "" {
				zeros = append(zeros, zero)
			}
		}
		if len(zeros) == n-1 {
			return "return " + strings.Join(append(zeros, "err"), ", ")
		}
	}
	return e.use("log", "log") + ".Fatal(err)"
}

// zero returns the zero value of a type, or "" where its syntax doesn't say.
func zero(typ ast.Expr) string {
	switch x := typ.(type) {
	case *ast.StarExpr, *ast.MapType, *ast.ChanType, *ast.FuncType, *ast.InterfaceType:
		return "nil"
	case *ast.ArrayType:
		if x.Len == nil {
			return "nil"
		}
	case *ast.Ident, *ast.SelectorExpr:
		switch name := expression(x); name {
		case "http.Handler", "chi.Router", "gin.IRouter", "gin.IRoutes", "context.Context", "any", "error":
			return "nil"
		case "string":
			return `""`
		case "bool":
			return "false"
		case "int", "int64", "uint", "uint64", "float64":
			return "0"
		}
	}
	return ""
}

// apply returns the file with the lines behind the target and the imports among
// its own.
func (e *edit) apply(t *target, lines []string) ([]byte, error) {
	offset := e.offset(t.body.Lbrace) + 1
	indent := ""
	if t.at >= 0 {
		offset = e.offset(t.in[t.at].End())
		indent = e.indent(e.offset(t.in[t.at].Pos()))
	} else if len(t.in) > 0 {
		indent = e.indent(e.offset(t.in[0].Pos()))
	} else {
		indent = e.indent(e.offset(t.body.Lbrace)) + "\t"
	}
	eol := "\n"
	if bytes.Contains(e.src, []byte("\r\n")) {
		eol = "\r\n"
	}
	offset = e.lineEnd(offset)
	var text strings.Builder
	for _, line := range lines {
		text.WriteString(eol + indent + line)
	}
	if offset >= len(e.src) || !strings.HasPrefix(string(e.src[offset:]), "\n") && !strings.HasPrefix(string(e.src[offset:]), "\r\n") {
		text.WriteString(eol + indent) // something else stands on that line
	}
	out := slices.Concat(e.src[:offset], []byte(text.String()), e.src[offset:])
	at, block := e.importBlock(eol)
	out = slices.Concat(out[:at.start], []byte(block), out[at.end:])
	if _, err := parser.ParseFile(token.NewFileSet(), "", out, parser.SkipObjectResolution); err != nil {
		return nil, fmt.Errorf("%s: the lines can't be put in behind line %d: %w; paste them yourself", t.site.File, t.site.Line, err)
	}
	if tidy, err := format.Source(e.src); err == nil && bytes.Equal(tidy, e.src) {
		return format.Source(out)
	}
	return out, nil
}

func (e *edit) offset(p token.Pos) int { return e.fset.Position(p).Offset }

// indent returns the white space that the line of an offset starts with.
func (e *edit) indent(offset int) string {
	start := bytes.LastIndexByte(e.src[:offset], '\n') + 1
	line := e.src[start:]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// lineEnd returns where the line of an offset ends, if only a comment follows
// there; else the offset itself.
func (e *edit) lineEnd(offset int) int {
	end := len(e.src)
	if i := bytes.IndexByte(e.src[offset:], '\n'); i >= 0 {
		end = offset + i
	}
	rest := bytes.TrimSpace(e.src[offset:end])
	if len(rest) > 0 && !bytes.HasPrefix(rest, []byte("//")) && string(rest) != ";" {
		return offset
	}
	if end > offset && e.src[end-1] == '\r' {
		end--
	}
	return end
}

type span struct{ start, end int }

// importBlock returns what takes the place of a span of the file, for the added
// imports: lines in the block of the first import, the standard library's behind
// one of theirs, the others behind one of the same module or at the end.
func (e *edit) importBlock(eol string) (span, string) {
	var std, other []string
	for _, a := range e.imports {
		if a.path == e.library {
			other = append(other, a.String())
		} else {
			std = append(std, a.String())
		}
	}
	var decls []*ast.GenDecl
	for _, d := range e.file.Decls {
		if gen, ok := d.(*ast.GenDecl); ok && gen.Tok == token.IMPORT && !importsC(gen) {
			decls = append(decls, gen)
		}
	}
	if len(decls) == 0 || !decls[0].Lparen.IsValid() {
		return e.newBlock(decls, std, other, eol)
	}
	decl := decls[0]
	lines := func(list []string) string {
		text := ""
		for _, l := range list {
			text += eol + "\t" + l
		}
		return text
	}
	// Behind the last import of the standard library that stands first.
	lastStd, last := -1, e.offset(decl.Lparen)+1
	for _, spec := range decl.Specs {
		imp := spec.(*ast.ImportSpec)
		p, _ := strconv.Unquote(imp.Path.Value)
		end := e.lineEnd(e.offset(imp.End()))
		if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") && (lastStd < 0 || lastStd == last) {
			lastStd = end
		}
		last = end
	}
	if lastStd < 0 {
		lastStd = e.offset(decl.Lparen) + 1
		if len(std) > 0 && len(decl.Specs) > 0 {
			std = append(std, "")
		}
	}
	own := ""
	if len(other) > 0 {
		own = lines(other)
		if !e.sameGroup(decl) {
			own = eol + own
		}
	}
	if lastStd == last {
		return span{last, last}, lines(std) + own
	}
	return span{lastStd, last}, lines(std) + string(e.src[lastStd:last]) + own
}

// newBlock returns a block of imports for a file that has none: with its single
// import in it, if it has one, else behind what it imports.
func (e *edit) newBlock(decls []*ast.GenDecl, std, other []string, eol string) (span, string) {
	end := e.lineEnd(e.offset(e.file.Name.End()))
	at := span{end, end}
	start := eol + eol
	var groups []string
	if len(decls) == 1 && decls[0].Doc == nil {
		at = span{e.offset(decls[0].Pos()), e.offset(decls[0].End())}
		start = ""
		imp := decls[0].Specs[0].(*ast.ImportSpec)
		text := string(e.src[e.offset(imp.Pos()):e.offset(imp.End())])
		if p, _ := strconv.Unquote(imp.Path.Value); strings.Contains(strings.Split(p, "/")[0], ".") {
			groups = append(groups, text)
		} else {
			std = append(std, text)
		}
	} else if len(decls) > 0 {
		end = e.lineEnd(e.offset(decls[len(decls)-1].End()))
		at = span{end, end}
	}
	if len(std) > 0 {
		groups = append([]string{strings.Join(std, eol+"\t")}, groups...)
	}
	groups = append(groups, strings.Join(other, eol+"\t"))
	return at, start + "import (" + eol + "\t" + strings.Join(groups, eol+eol+"\t") + eol + ")"
}

// sameGroup reports whether the block's last import is of the module that is
// added to, so that the new one stands in its group.
func (e *edit) sameGroup(decl *ast.GenDecl) bool {
	if len(decl.Specs) == 0 {
		return true
	}
	p, _ := strconv.Unquote(decl.Specs[len(decl.Specs)-1].(*ast.ImportSpec).Path.Value)
	for _, a := range e.imports {
		root := strings.SplitN(a.path, "/", 4)
		if len(root) > 3 && strings.HasPrefix(p, strings.Join(root[:3], "/")+"/") {
			return true
		}
		if len(root) > 1 && !strings.Contains(root[0], "github") && strings.Contains(root[0], ".") && strings.HasPrefix(p, root[0]+"/"+root[1]) {
			return true
		}
	}
	return false
}

func importsC(decl *ast.GenDecl) bool {
	for _, spec := range decl.Specs {
		if imp, ok := spec.(*ast.ImportSpec); ok && imp.Path.Value == `"C"` {
			return true
		}
	}
	return false
}

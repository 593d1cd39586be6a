package foreign

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

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
	if tidy, err := format.Source(e.src); err != nil || !bytes.Equal(tidy, e.src) {
		return out, nil
	}
	once, err := format.Source(out)
	if err != nil {
		return nil, err
	}
	return format.Source(once) // what stood on one line takes two passes
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
		if e.group(a) == 0 {
			std = append(std, a.String())
		} else {
			other = append(other, a.String())
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
			text += strings.TrimRight(eol+"\t"+l, "\t") // "" parts groups
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
		if a.path != e.library {
			continue
		}
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

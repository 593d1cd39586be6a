package render

import (
	"bytes"
	"fmt"
	"go/build/constraint"
	"go/format"
	"go/parser"
	"go/token"
	"path"
	"strconv"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
)

// A carver makes a file of the template service a file of the user's.
type carver struct {
	selection catalog.Selection
	tags      map[string]bool
	// place is where a library comes; of a service it is nil.
	place *Place
}

func newCarver(c *catalog.Catalog, s catalog.Selection) carver {
	return carver{selection: s, tags: tags(c, s)}
}

// tags returns the build tags that stand for the options' values, each with
// whether it holds.
func tags(c *catalog.Catalog, s catalog.Selection) map[string]bool {
	tags := make(map[string]bool)
	for _, o := range c.Options {
		for _, v := range o.Values {
			tags[v.Name] = s.Options[o.Name] == v.Name
		}
	}
	return tags
}

// path returns where a template's file stands in the user's service.
func (c carver) path(name string) string {
	if c.place != nil {
		return c.place.path(name)
	}
	name = strings.TrimSuffix(name, templateSuffix)
	if rest, ok := strings.CutPrefix(name, "cmd/service/"); ok {
		return "cmd/" + c.selection.Name + "/" + rest
	}
	return name
}

// file returns what a file of the template service, or a template of a Go file,
// is in the user's, or nil when it is left out.
func (c carver) file(f catalog.File, v *view) ([]byte, error) {
	name, isTemplate := strings.CutSuffix(f.Path, templateSuffix)
	switch path.Ext(name) {
	case ".go":
		data := f.Data
		if isTemplate {
			executed, err := v.execute(f)
			if err != nil {
				return nil, err
			}
			if data, err = format.Source(executed); err != nil {
				return nil, err
			}
		}
		data, err := c.goFile(data)
		if err == nil && data != nil && c.place != nil {
			data, err = c.place.goFile(name, data)
		}
		return data, err
	case ".md":
		return c.page(f.Data), nil
	}
	return f.Data, nil
}

// has reports whether file returns anything.
func (c carver) has(f catalog.File) (bool, error) {
	if path.Ext(f.Path) != ".go" {
		return true, nil
	}
	_, ok, err := c.constrain(f.Data)
	return ok, err
}

// page puts the user's names where a page has the template's.
func (c carver) page(data []byte) []byte {
	if c.place != nil {
		return c.place.page(data)
	}
	return bytes.ReplaceAll(data, []byte("cmd/service"), []byte("cmd/"+c.selection.Name))
}

// goFile returns the Go file with the user's import paths and without the
// options in its build constraint, or nil when the constraint excludes it. Only
// what has to change is touched, so what was formatted stays so.
func (c carver) goFile(data []byte) ([]byte, error) {
	data, ok, err := c.constrain(data)
	if err != nil || !ok {
		return nil, err
	}
	if !bytes.Contains(data, []byte(`"`+prefix+"/")) {
		return data, nil
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", data, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(data))
	done := 0
	for _, spec := range file.Imports {
		old, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		rest, ok := strings.CutPrefix(old, prefix+"/")
		if !ok {
			continue
		}
		start, end := fset.Position(spec.Path.Pos()).Offset, fset.Position(spec.Path.End()).Offset
		out = append(out, data[done:start]...)
		out = strconv.AppendQuote(out, c.importPath(rest))
		done = end
	}
	return append(out, data[done:]...), nil
}

// importPath returns the import path of the template's package below its module.
func (c carver) importPath(below string) string {
	if c.place != nil {
		return c.place.importPath(below)
	}
	return c.selection.Module + "/" + below
}

// constrain evaluates the build constraint as far as it speaks of options. It
// returns false when that excludes the file, and takes the line out, or what is
// decided of it.
func (c carver) constrain(data []byte) ([]byte, bool, error) {
	start, end, ok := constraintLine(data)
	if !ok {
		return data, true, nil
	}
	expr, err := constraint.Parse(strings.TrimSpace(string(data[start:end])))
	if err != nil {
		return nil, false, fmt.Errorf("build constraint: %w", err)
	}
	rest, value := c.reduce(expr)
	if rest == nil && !value {
		return nil, false, nil
	}
	var line string
	if rest != nil {
		line = "//go:build " + rest.String() + "\n"
	} else if end < len(data) && data[end] == '\n' {
		end++ // the blank line below
	}
	out := make([]byte, 0, len(data))
	out = append(out, data[:start]...)
	out = append(out, line...)
	return append(out, data[end:]...), true, nil
}

// constraintLine finds the //go:build line, with its line end. It can only
// stand above the package clause, among comments and blank lines.
func constraintLine(data []byte) (start, end int, ok bool) {
	for start < len(data) {
		end = len(data)
		if i := bytes.IndexByte(data[start:], '\n'); i >= 0 {
			end = start + i + 1
		}
		line := bytes.TrimSpace(data[start:end])
		if constraint.IsGoBuild(string(line)) {
			return start, end, true
		}
		if len(line) > 0 && !bytes.HasPrefix(line, []byte("//")) {
			return 0, 0, false
		}
		start = end
	}
	return 0, 0, false
}

// reduce evaluates the tags that stand for options. It returns what is left of
// the expression, or, when nothing is, its value.
func (c carver) reduce(expr constraint.Expr) (constraint.Expr, bool) {
	switch x := expr.(type) {
	case *constraint.TagExpr:
		if value, ok := c.tags[x.Tag]; ok {
			return nil, value
		}
		return x, false
	case *constraint.NotExpr:
		rest, value := c.reduce(x.X)
		if rest == nil {
			return nil, !value
		}
		return &constraint.NotExpr{X: rest}, false
	case *constraint.AndExpr:
		left, leftValue := c.reduce(x.X)
		right, rightValue := c.reduce(x.Y)
		switch {
		case left == nil && !leftValue, right == nil && !rightValue:
			return nil, false
		case left == nil:
			return right, rightValue
		case right == nil:
			return left, leftValue
		}
		return &constraint.AndExpr{X: left, Y: right}, false
	case *constraint.OrExpr:
		left, leftValue := c.reduce(x.X)
		right, rightValue := c.reduce(x.Y)
		switch {
		case left == nil && leftValue, right == nil && rightValue:
			return nil, true
		case left == nil:
			return right, rightValue
		case right == nil:
			return left, leftValue
		}
		return &constraint.OrExpr{X: left, Y: right}, false
	}
	return expr, false
}

// Package render makes the files of a service out of the catalog and a
// selection. It is a pure function of the two: it reads no disk, clock or
// environment.
package render

import (
	"bytes"
	"fmt"
	"go/format"
	"path"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// prefix is where the template service's packages are.
const prefix = "github.com/seed-d146d9dc/scaffold/templates/service"

// Render returns the service that the selection describes: the files of its
// patterns, carved out of the template service, and its go.mod and go.sum. An
// error is a fault of the catalog, but for an import that go.mod can't be
// written for.
func Render(c *catalog.Catalog, s catalog.Selection) (tree.Tree, error) {
	carver := carver{selection: s, tags: tags(c, s)}
	view := newView(c, s)
	out := make(tree.Tree)
	var texts []catalog.File
	for _, f := range c.Files {
		if !selected(f, s) {
			continue
		}
		name, isTemplate := strings.CutSuffix(f.Path, ".tmpl")
		isGo := path.Ext(name) == ".go"
		if isTemplate && !isGo {
			texts = append(texts, f)
			continue
		}
		data, err := f.Data, error(nil)
		if isTemplate {
			data, err = view.execute(f)
			if err == nil {
				data, err = format.Source(data)
			}
		}
		if err == nil && isGo {
			data, err = carver.goFile(data)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		if data == nil {
			continue
		}
		if path.Ext(name) == ".md" {
			data = carver.page(data)
		}
		out[carver.path(name)] = tree.File{Data: data, Exec: f.Exec}
	}
	mod, sum, err := gomod.Resolve(s.Module, out)
	if err != nil {
		return nil, err
	}
	out["go.mod"], out["go.sum"] = tree.File{Data: mod}, tree.File{Data: sum}
	// The rest may speak of the Go version, which is known only now.
	parsed, err := modfile.ParseLax("go.mod", mod, nil)
	if err != nil {
		return nil, err
	}
	view.Go = parsed.Go.Version
	for _, f := range texts {
		data, err := view.execute(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		if len(bytes.TrimSpace(data)) == 0 {
			continue
		}
		out[carver.path(strings.TrimSuffix(f.Path, ".tmpl"))] = tree.File{Data: data, Exec: f.Exec}
	}
	return out, nil
}

// selected reports whether every pattern that the file belongs to is there, and
// its alternative chosen.
func selected(f catalog.File, s catalog.Selection) bool {
	for _, p := range f.Patterns {
		if !s.Has(p) {
			return false
		}
	}
	return f.Option == "" || s.Options[f.Option] == f.Value
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

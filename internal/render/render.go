// Package render makes the files of a service out of the catalog and a
// selection. It is a pure function of the two: it reads no disk, clock or
// environment.
package render

import (
	"fmt"
	"path"
	"strings"

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
	carver := newCarver(c, s)
	view := newView(c, s)
	out := make(tree.Tree)
	var texts []catalog.File
	for _, f := range c.Files {
		if !selected(f, s) || !inService(f) {
			continue
		}
		if isText(f) {
			texts = append(texts, f)
			continue
		}
		data, err := carver.file(f, view)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		if data != nil {
			out[carver.path(f.Path)] = tree.File{Data: data, Exec: f.Exec}
		}
	}
	mod, sum, err := gomod.Resolve(s.Module, out)
	if err != nil {
		return nil, err
	}
	out["go.mod"], out["go.sum"] = tree.File{Data: mod}, tree.File{Data: sum}
	// The rest may speak of the Go version, which is known only now.
	if view.Go, err = gomod.GoVersion(mod); err != nil {
		return nil, err
	}
	for _, f := range texts {
		data, err := view.text(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		if data != nil {
			out[carver.path(f.Path)] = tree.File{Data: data, Exec: f.Exec}
		}
	}
	return out, nil
}

// Paths returns the paths of what [Render] returns, for a fraction of its cost.
func Paths(c *catalog.Catalog, s catalog.Selection) (map[string]bool, error) {
	carver := newCarver(c, s)
	view := newView(c, s)
	out := map[string]bool{"go.mod": true, "go.sum": true}
	for _, f := range c.Files {
		if !selected(f, s) || !inService(f) {
			continue
		}
		var there bool
		var err error
		if isText(f) {
			var data []byte
			data, err = view.text(f)
			there = data != nil
		} else {
			there, err = carver.has(f)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		if there {
			out[carver.path(f.Path)] = true
		}
	}
	return out, nil
}

// isText reports a template of anything but Go.
func isText(f catalog.File) bool {
	name, ok := strings.CutSuffix(f.Path, templateSuffix)
	return ok && path.Ext(name) != ".go"
}

const templateSuffix = ".tmpl"

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

// Package render makes the files of a service out of the catalog and a
// selection. It is a pure function of the two: it reads no disk, clock or
// environment.
package render

import (
	"bytes"
	"fmt"
	"path"
	"slices"
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
	files, err := carver.files(c)
	if err != nil {
		return nil, err
	}
	var texts []catalog.File
	for _, f := range files {
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
	files, err := carver.files(c)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if isText(f) {
			data, err := view.text(f)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Path, err)
			}
			if data == nil {
				continue
			}
		}
		out[carver.path(f.Path)] = true
	}
	return out, nil
}

// files returns the catalog's files that the service has, and perhaps texts that
// come out as nothing.
func (c carver) files(from *catalog.Catalog) ([]catalog.File, error) {
	var files []catalog.File
	for _, f := range from.Files {
		if !selected(f, c.selection) || !inService(f) {
			continue
		}
		there, err := c.has(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		if there {
			files = append(files, f)
		}
	}
	for { // one that is left out may have been all that imported another
		unused := unused(files)
		if len(unused) == 0 {
			return files, nil
		}
		files = slices.DeleteFunc(files, func(f catalog.File) bool { return unused[path.Dir(f.Path)] })
	}
}

// unused returns the folders of packages below internal/ that belong to no
// pattern, and that no other package of these files, nor its tests, imports. A
// template of a Go file writes what it imports of them as it stands.
func unused(files []catalog.File) map[string]bool {
	unused := make(map[string]bool)
	for _, f := range files {
		if dir := path.Dir(f.Path); len(f.Patterns) == 0 && strings.HasPrefix(dir, "internal/") {
			unused[dir] = true
		}
	}
	for _, f := range files {
		from := path.Dir(f.Path)
		for rest := f.Data; ; {
			_, after, ok := bytes.Cut(rest, []byte(`"`+prefix+"/"))
			if !ok {
				break
			}
			imported, after, _ := bytes.Cut(after, []byte(`"`))
			if dir := string(imported); dir != from {
				delete(unused, dir)
			}
			rest = after
		}
	}
	return unused
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

package gomod

import (
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// An own package is one directory of the service that is resolved.
type own struct {
	imports []importAt // of its files and its tests alike: both are "direct"
}

// An importAt is an import path and one file that imports it.
type importAt struct {
	path, file string
}

// ownPackages reads the imports of all packages of the service by directory
// ("." is its root), with the Go files of each that count.
func ownPackages(files tree.Tree) (map[string]*own, error) {
	var names []string
	for name := range files {
		if base := path.Base(name); strings.HasSuffix(base, ".go") && base[0] != '_' && base[0] != '.' {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	scans := make([]fileScan, len(names))
	scanAll(files, names, scans)

	pkgs := map[string]*own{}
	for i, name := range names {
		s := scans[i]
		if s.err != nil {
			return nil, s.err // it starts with the file's name and position
		}
		if !s.counts {
			continue
		}
		dir := path.Dir(name)
		p := pkgs[dir]
		if p == nil {
			p = &own{}
			pkgs[dir] = p
		}
		for _, imp := range s.imports {
			p.imports = append(p.imports, importAt{imp, name})
		}
	}
	return pkgs, nil
}

type fileScan struct {
	imports []string
	counts  bool
	err     error
}

// scanAll fills scans for names, on all processors.
func scanAll(files tree.Tree, names []string, scans []fileScan) {
	workers := min(runtime.GOMAXPROCS(0), len(names))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(names); i += workers {
				s := &scans[i]
				s.imports, s.counts, s.err = FileImports(names[i], files[names[i]].Data)
			}
		})
	}
	wg.Wait()
}

// matched reports whether the pattern ./... matches a directory: no element
// starts with "." or "_", none is "testdata" or the vendor directory, and no
// module of its own stands there.
func matched(files tree.Tree, dir string) bool {
	if dir == "." {
		return true
	}
	for elem := range strings.SplitSeq(dir, "/") {
		if elem[0] == '.' || elem[0] == '_' || elem == "testdata" || elem == "vendor" {
			return false
		}
	}
	return !nested(files, dir)
}

// nested reports whether dir lies in a module of its own below the root.
func nested(files tree.Tree, dir string) bool {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := files[path.Join(dir, "go.mod")]; ok {
			return true
		}
	}
	return false
}

// walk visits the service's packages: those that ./... matches and those that
// they import from elsewhere in the service. It returns, per import path that
// is not the service's own, one file that imports it.
func walk(modulePath string, files tree.Tree) (foreign map[string]string, ownDirs map[string]bool, err error) {
	pkgs, err := ownPackages(files)
	if err != nil {
		return nil, nil, err
	}
	var queue []string
	ownDirs = map[string]bool{}
	for dir := range pkgs {
		if matched(files, dir) {
			queue = append(queue, dir)
			ownDirs[dir] = true
		}
	}
	slices.Sort(queue)
	foreign = map[string]string{}
	for len(queue) > 0 {
		p := pkgs[queue[0]]
		queue = queue[1:]
		for _, imp := range p.imports {
			dir, inside := below(modulePath, imp.path)
			if inside && pkgs[dir] != nil && !nested(files, dir) {
				if !ownDirs[dir] {
					ownDirs[dir] = true
					queue = append(queue, dir)
				}
				continue
			}
			if file, ok := foreign[imp.path]; !ok || imp.file < file {
				foreign[imp.path] = imp.file
			}
		}
	}
	return foreign, ownDirs, nil
}

// below returns the directory of an import path in the module, if it lies there.
func below(modulePath, imp string) (dir string, ok bool) {
	if imp == modulePath {
		return ".", true
	}
	rest, ok := strings.CutPrefix(imp, modulePath)
	if !ok || rest[0] != '/' {
		return "", false
	}
	return rest[1:], true
}

// An UnknownImportError says that the universe has no such package, so that
// only the go command can say which module provides it.
type UnknownImportError struct {
	File string // the first file, by name, that imports it; "go.mod" for a tool
	Path string // the import path
}

func (e *UnknownImportError) Error() string {
	return fmt.Sprintf("%s: imports %q, which no template is known to import: run `go mod tidy` in the service", e.File, e.Path)
}

// An AmbiguousImportError says that the service has a package of its own whose
// import path is also that of a dependency's package.
type AmbiguousImportError struct {
	Path   string // the import path
	Module string // the dependency
}

func (e *AmbiguousImportError) Error() string {
	return fmt.Sprintf("package %s exists in the service and in %s: choose another module path", e.Path, e.Module)
}

package combos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
)

// template is where the template service's packages are.
const template = "github.com/seed-d146d9dc/scaffold/templates/service"

// A universe is the packages that services import and that are not their own,
// as the compiler exported them for the template service. It is for any number of
// goroutines.
type universe struct {
	exports  map[string]string // by import path
	versions versions
	mu       sync.Mutex // of the importer, which reads and remembers
	from     types.ImporterFrom
}

// versions are those of the modules that the packages are of.
type versions map[string]string

// check reports a go.mod that requires another version of a module than the
// packages are of: what was type-checked is not what will be built.
func (v versions) check(mod []byte) error {
	required, _, err := gomod.Required(mod)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range slices.Sorted(maps.Keys(required)) {
		if has, ok := v[m]; ok && has != required[m] {
			errs = append(errs, fmt.Errorf("go.mod: requires %s %s, and was checked with %s", m, required[m], has))
		}
	}
	return errors.Join(errs...)
}

// load has the go command compile what the template service imports, under all
// options, and finds what it exports. Where that is in the build cache, it takes
// about a second.
func load(ctx context.Context, options ...string) (*universe, error) {
	u := &universe{exports: make(map[string]string), versions: make(versions)}
	for _, tags := range append([]string{""}, options...) {
		cmd := exec.CommandContext(ctx, "go", "list", "-export", "-deps", "-test", "-e=false",
			"-json=ImportPath,Export,Module", "-tags="+tags, template+"/...") // #nosec G204 -- tags of the catalog
		cmd.Env = append(os.Environ(), "GOGC=400") // compilers that collect less garbage are done sooner
		var failed bytes.Buffer
		cmd.Stderr = &failed
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list -tags=%s: %w\n%s", tags, err, failed.Bytes())
		}
		for dec := json.NewDecoder(bytes.NewReader(out)); ; {
			var p struct {
				ImportPath, Export string
				Module             *struct{ Path, Version string }
			}
			if err := dec.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			if p.Export != "" && !strings.HasPrefix(p.ImportPath, template) && !strings.Contains(p.ImportPath, " ") {
				u.exports[p.ImportPath] = p.Export
				if p.Module != nil {
					u.versions[p.Module.Path] = p.Module.Version
				}
			}
		}
	}
	u.from = importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		name, ok := u.exports[path]
		if !ok {
			return nil, fmt.Errorf("package %s is in no template's imports", path)
		}
		return os.Open(name) // #nosec G304 -- a file of the build cache, named by the go command
	}).(types.ImporterFrom)
	return u, nil
}

func (u *universe) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.from.ImportFrom(path, "", 0)
}

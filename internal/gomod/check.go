package gomod

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// CheckModulePath reports why path can't be that of a service's module. A path
// without a dot in its first element is taken, as the go command does for a
// module that no one downloads.
func CheckModulePath(path string) error {
	err := module.CheckImportPath(path)
	if first, _, _ := strings.Cut(path, "/"); err == nil && strings.Contains(first, ".") {
		err = module.CheckPath(path)
	}
	if err == nil {
		return nil
	}
	var invalid *module.InvalidPathError
	if errors.As(err, &invalid) {
		err = invalid.Err
	}
	return fmt.Errorf("%q: is no module path: %w (use one as in acme.com/orders)", path, err)
}

// ModulePath returns the module path that a go.mod file has. The error says
// where the file does not parse, as file:line, or that it has none.
func ModulePath(file string, data []byte) (string, error) {
	parsed, err := modfile.Parse(file, data, nil)
	var list modfile.ErrorList
	if errors.As(err, &list) && len(list) > 0 {
		err = &list[0]
	}
	if err != nil {
		return "", fmt.Errorf("%w (mend the line, then run this again)", err)
	}
	if parsed.Module == nil || parsed.Module.Mod.Path == "" {
		return "", fmt.Errorf("%s: has no module line (write one, as in `module acme.com/orders`, or take the file back from git)", file)
	}
	return parsed.Module.Mod.Path, nil
}

package gomod

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
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
		err = checkReserved(path)
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

// standard are the folders at the root of Go 1.26's standard library. The go
// command looks there first for an import whose path starts with one.
var standard = strings.Fields(`archive arena bufio builtin bytes cmd cmp compress container context crypto
	database debug embed encoding errors expvar flag fmt go hash html image index internal io iter log maps math
	mime net os path plugin reflect regexp runtime simd slices sort std strconv strings structs sync syscall
	testing text time unicode unique unsafe weak`)

// checkReserved reports why the go command keeps a path that is well formed to
// itself.
func checkReserved(path string) error {
	elements := strings.Split(path, "/")
	switch {
	case path == "toolchain":
		return errors.New("the go command means Go's own toolchain by it")
	case slices.Contains(elements, "vendor"):
		return errors.New("the go command takes a folder vendor for copies of other modules")
	case slices.Contains(standard, elements[0]):
		return fmt.Errorf("%s is of Go's standard library", elements[0])
	}
	return nil
}

// IsVersion reports whether v is a semantic version, as in v1.2.3.
func IsVersion(v string) bool { return semver.IsValid(v) }

// Newer reports whether version v is newer than w, by semver.org's order.
func Newer(v, w string) bool { return semver.Compare(v, w) > 0 }

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

// GoVersion returns the version on the go line of a go.mod file.
func GoVersion(data []byte) (string, error) {
	parsed, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil {
		return "", err
	}
	if parsed.Go == nil {
		return "", errors.New("go.mod: has no go line")
	}
	return parsed.Go.Version, nil
}

// ModuleOf returns the module path of a go.mod file that is known to parse, or "".
func ModuleOf(data []byte) string { return modfile.ModulePath(data) }

// Required returns the versions that a go.mod file requires, by module path, and the
// modules of these that its own module's packages import, in order.
func Required(data []byte) (versions map[string]string, direct []string, err error) {
	parsed, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil {
		return nil, nil, err
	}
	versions = make(map[string]string, len(parsed.Require))
	for _, r := range parsed.Require {
		versions[r.Mod.Path] = r.Mod.Version
		if !r.Indirect {
			direct = append(direct, r.Mod.Path)
		}
	}
	return versions, direct, nil
}

// Without returns a go.mod file that does not require the modules.
func Without(data []byte, modules []string) ([]byte, error) {
	parsed, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		if err := parsed.DropRequire(m); err != nil {
			return nil, err
		}
	}
	parsed.Cleanup()
	return parsed.Format()
}

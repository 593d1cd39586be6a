package bill

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
)

// Imports returns what the Go files below a file system import, sorted, by the
// rule of [gomod.FileImports]. Imports of the module own are left out, and so
// are directories that `go mod tidy` passes by: testdata, vendor, those that
// start with "." or "_", and modules of their own.
func Imports(fsys fs.FS, own string) ([]string, error) {
	var list []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		hidden := name != "." && (base[0] == '.' || base[0] == '_')
		if d.IsDir() {
			if hidden || base == "testdata" || base == "vendor" {
				return fs.SkipDir
			}
			if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil && name != "." {
				return fs.SkipDir
			}
			return nil
		}
		if hidden || path.Ext(name) != ".go" {
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		paths, _, err := gomod.FileImports(name, src)
		for _, p := range paths {
			if p != own && !strings.HasPrefix(p, own+"/") {
				list = append(list, p)
			}
		}
		return err
	})
	slices.Sort(list)
	return slices.Compact(list), err
}

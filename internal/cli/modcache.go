package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
)

// A modCache is the folder in which the go command keeps what it has downloaded.
type modCache string

// moduleCache returns the go command's, as far as that can be told without
// running it.
func moduleCache() modCache {
	if dir := os.Getenv("GOMODCACHE"); dir != "" {
		return modCache(dir)
	}
	if list := filepath.SplitList(os.Getenv("GOPATH")); len(list) > 0 {
		return modCache(filepath.Join(list[0], "pkg", "mod"))
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return modCache(filepath.Join(home, "go", "pkg", "mod"))
}

// known returns what the cache has of a version. The go command verified it when
// it came, and does so again with the sums that are written.
func (c modCache) known(path, version string) gomod.Known {
	escaped, err := module.EscapePath(path)
	if c == "" || err != nil {
		return gomod.Known{}
	}
	v, err := module.EscapeVersion(version)
	if err != nil {
		return gomod.Known{}
	}
	file := filepath.Join(string(c), "cache", "download", filepath.FromSlash(escaped), "@v", v)
	var k gomod.Known
	if k.Mod, err = os.ReadFile(file + ".mod"); err != nil { //nolint:gosec // a path that module checked
		return gomod.Known{}
	}
	k.ModSum, err = dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(k.Mod)), nil
	})
	if err != nil {
		return gomod.Known{}
	}
	if sum, err := os.ReadFile(file + ".ziphash"); err == nil { //nolint:gosec // as above
		k.ZipSum = strings.TrimSpace(string(sum))
	}
	return k
}

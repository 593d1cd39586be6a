package bill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
)

// goCommand runs the go command in dir and returns what it prints. It may
// change go.mod and go.sum there, and no workspace or toolchain switch meddles.
func goCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // this package's own arguments
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "GOTOOLCHAIN=local", "PWD="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("go %s: %w\n%s", strings.Join(args[:min(len(args), 3)], " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

func goEnv(ctx context.Context, dir string, names ...string) (map[string]string, error) {
	out, err := goCommand(ctx, dir, append([]string{"env", "-json"}, names...)...)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	return env, json.Unmarshal(out, &env)
}

// A goModFile is what the graph needs of one go.mod.
type goModFile struct {
	goLine   string
	requires []module.Version
	sum      string
}

// goMod reads a go.mod that the go command has put, verified, into the cache.
func (b *builder) goMod(m module.Version) (*goModFile, error) {
	if f, ok := b.mods[m]; ok {
		return f, nil
	}
	path, perr := module.EscapePath(m.Path)
	v, verr := module.EscapeVersion(m.Version)
	if err := errors.Join(perr, verr); err != nil {
		return nil, err
	}
	file := filepath.Join(b.goEnv["GOMODCACHE"], "cache", "download", filepath.FromSlash(path), "@v", v+".mod")
	data, err := os.ReadFile(file) //nolint:gosec // in the module cache
	if err != nil {
		return nil, err
	}
	parsed, err := modfile.ParseLax(file, data, nil)
	if err != nil {
		return nil, err
	}
	f := &goModFile{}
	if parsed.Go != nil {
		f.goLine = parsed.Go.Version
	}
	for _, r := range parsed.Require {
		f.requires = append(f.requires, r.Mod)
	}
	f.sum, err = dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
	b.mods[m] = f
	return f, err
}

// A download is a module that was extracted into the module cache.
type download struct {
	Path, Version, Dir, Sum, Error string
}

// fetch downloads modules that are not yet known, verified by the checksum
// database, so that dirs has them.
func (b *builder) fetch(ctx context.Context, mods ...module.Version) error {
	args := []string{"mod", "download", "-json"}
	for _, m := range mods {
		if _, ok := b.dirs[m]; !ok {
			args = append(args, m.String())
		}
	}
	if len(args) == 3 {
		return nil
	}
	out, err := goCommand(ctx, b.tmp, args...)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var d download
		if derr := dec.Decode(&d); errors.Is(derr, io.EOF) {
			return err
		} else if derr != nil {
			return errors.Join(err, derr)
		}
		if d.Error != "" {
			return fmt.Errorf("%s@%s: %s", d.Path, d.Version, d.Error)
		}
		b.dirs[module.Version{Path: d.Path, Version: d.Version}] = d
	}
}

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/modfile"
)

// A workspace is the one in which the go command sees a folder.
type workspace struct {
	file   string // its go.work
	parsed *modfile.WorkFile
	uses   bool // the folder is one of its modules
}

// workspaceOf returns the workspace of a folder, nil where there is none.
func workspaceOf(dir string) (*workspace, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	file := workFile(abs)
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file) //nolint:gosec // as the go command does
	if err != nil {
		return nil, fmt.Errorf("GOWORK: %w (as the go command would say)", err)
	}
	w := &workspace{file: file}
	if w.parsed, err = modfile.ParseWork(file, data, nil); err != nil {
		return nil, fmt.Errorf("%w (mend it, then run this again)", err)
	}
	w.uses = slices.ContainsFunc(w.parsed.Use, func(u *modfile.Use) bool {
		used := filepath.FromSlash(u.Path)
		if !filepath.IsAbs(used) {
			used = filepath.Join(filepath.Dir(file), used)
		}
		return filepath.Clean(used) == abs
	})
	return w, nil
}

// workFile is the workspace's file for a folder, as the go command finds it: what the
// environment names, or the nearest in the folder or above. It is "" where there is none.
func workFile(dir string) string {
	switch file := os.Getenv("GOWORK"); file {
	case "off":
		return ""
	case "", "auto":
	default:
		return file
	}
	for ; ; dir = filepath.Dir(dir) {
		file := filepath.Join(dir, "go.work")
		if info, err := os.Stat(file); err == nil && !info.IsDir() {
			return file
		}
		if filepath.Dir(dir) == dir {
			return ""
		}
	}
}

// noteWorkspace tells of a workspace in which the go command does not see the new
// service in dir.
func (a *app) noteWorkspace(dir string) {
	if w, err := workspaceOf(dir); err == nil && w != nil && !w.uses {
		a.notef("%s does not use the service, so that the go command does not find it there: run `go work use %s`", shown(w.file), shellWord(dir))
	}
}

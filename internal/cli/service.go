package cli

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed-d146d9dc/scaffold/internal/apply"
	"github.com/seed-d146d9dc/scaffold/internal/record"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/internal/worktree"
)

// A service is one that scaffold made, or is about to make, in a directory.
type service struct {
	root string // as the user is shown it
	// text is scaffold.yaml, nil before there is one.
	text     []byte
	manifest record.Manifest
	// base is what was last written.
	base tree.Tree
}

// recordDir and manifest tell a service's root.
var rootMarks = []string{record.ManifestFile, record.Dir}

// find returns the root of the service that dir is in: dir or the nearest
// directory above it that has a service's marks, or "". It looks no higher than
// the module that dir is in.
func find(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := abs; ; at = filepath.Dir(at) {
		for _, mark := range rootMarks {
			if _, err := os.Lstat(filepath.Join(at, mark)); err == nil {
				return shown(at), nil
			}
		}
		if _, err := os.Lstat(filepath.Join(at, goMod)); err == nil || filepath.Dir(at) == at {
			return "", nil
		}
	}
}

// shown is the path by which a user knows dir: from the working directory, where
// that is no detour.
func shown(dir string) string {
	wd, err := os.Getwd()
	if err != nil {
		return dir
	}
	if rel, err := filepath.Rel(wd, dir); err == nil && len(rel) < len(dir) {
		return rel
	}
	return dir
}

// recover brings a repository in which a command was interrupted to a whole
// state, and says so.
func (a *app) recover(ctx context.Context, root string) error {
	outcome, err := apply.Recover(ctx, root)
	if text := outcome.String(); err == nil && text != "" {
		a.notef("%s: %s", root, text)
	}
	return err
}

// look reads what the service in dir or above is made of, without its files. It
// returns nil where there is none.
func (a *app) look(ctx context.Context, dir string) (*service, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, usagef("%s: no such directory (see --dir)", dir)
	}
	root, err := find(dir)
	if err != nil || root == "" {
		return nil, err
	}
	if err := a.recover(ctx, root); err != nil {
		return nil, err
	}
	s := &service{root: root}
	files, err := worktree.Read(root, []string{record.ManifestFile}, nil)
	if err != nil {
		return nil, err
	}
	file, ok := files[record.ManifestFile]
	if !ok {
		if _, err := os.Lstat(filepath.Join(root, record.Dir)); errors.Is(err, fs.ErrNotExist) {
			return nil, nil // what stood there was undone
		}
		return nil, usagef("%s: is gone, and %s is there; take it back from git (git checkout HEAD -- %s)",
			filepath.Join(root, record.ManifestFile), record.Dir, record.ManifestFile)
	}
	s.text = file.Data
	if s.manifest, err = record.Parse(filepath.Join(root, record.ManifestFile), s.text); err != nil {
		return nil, &usageError{err}
	}
	return s, nil
}

// open reads the service in dir or above, with what was last written. Where
// another command writes meanwhile, it waits for that one and reads anew.
func (a *app) open(ctx context.Context, dir string) (*service, error) {
	for {
		s, err := a.look(ctx, dir)
		if err != nil {
			return nil, err
		}
		if s == nil {
			return nil, usagef("%s: no %s here or above, so scaffold did not make this folder; go to a service's folder, name one with --dir, or make one with `scaffold new`", dir, record.ManifestFile)
		}
		s.base, err = readBase(s.root)
		again, lerr := a.look(ctx, dir)
		if lerr != nil {
			return nil, lerr
		}
		if again != nil && bytes.Equal(s.text, again.text) {
			return s, err
		}
	}
}

func readBase(dir string) (tree.Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	files := worktree.Open(root)
	defer func() { _ = files.Close() }()
	return record.BaseTree(files.FS())
}

// still reports an error if another command has written since s was read, so that
// its work is not taken for its owner's.
func (a *app) still(ctx context.Context, s *service) error {
	if s.text == nil {
		return nil
	}
	now, err := a.open(ctx, s.root)
	if err == nil && (!bytes.Equal(now.text, s.text) || !now.base.Equal(s.base)) {
		err = &apply.ChangedError{Paths: []string{record.Dir}}
	}
	return err
}

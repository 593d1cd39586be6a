package apply

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/internal/worktree"
)

// Last is the change that was made last, turned round.
type Last struct {
	Command string // that made it
	// Changes take it back. They are for [Apply].
	Changes []Change
}

// ReadLast returns the change that [ApplyUndoable] made last in the directory
// root, or nil if there is none: none was made, another change came after it, or
// it has been taken back. The error is a [*ChangedError] if files are no longer
// as it left them.
func ReadLast(root string) (*Last, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, failed(root, err)
	}
	files := worktree.Open(r)
	defer func() { _ = files.Close() }()
	j, err := readJournal(fsys{root: r}, undoDir)
	if err != nil || j == nil {
		return nil, err
	}
	last := &Last{Command: j.Command}
	var changed []string
	for i, e := range j.Changes {
		now, err := readHashed(files, e.Path, e.After)
		if errors.Is(err, errOther) {
			changed = append(changed, e.Path)
			continue
		}
		if err != nil {
			return nil, err
		}
		old, err := readHashed(files, oldFileIn(undoDir, i), e.Before)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: take it from git, then delete %s", e.Path, err, undoDir)
		}
		c := Change{Path: e.Path}
		if now != nil {
			c.Before = &now.File
		}
		if old != nil {
			c.After, c.Perm = &old.File, old.Info.Mode().Perm()
		}
		last.Changes = append(last.Changes, c)
	}
	if len(changed) > 0 {
		return nil, &ChangedError{Paths: changed}
	}
	return last, nil
}

// errOther says that a file is not the one that was meant.
var errOther = errors.New("is not what the journal says")

// readHashed reads the file at p, whose hash must be the one given; "" wants none
// to be there, and is nil.
func readHashed(files *worktree.Dir, p, want string) (*worktree.File, error) {
	got, err := files.File(p)
	switch {
	case errors.Is(err, fs.ErrNotExist) && want == "":
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, errOther
	case err != nil:
		return nil, err
	}
	if hash(&tree.File{Data: got.Data, Exec: got.Exec}) != want {
		return nil, errOther
	}
	return &got, nil
}

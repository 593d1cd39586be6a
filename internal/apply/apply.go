// Package apply makes all changes to a user's repository, all or nothing. It is
// handed a list of files as they were read and as they shall be; it decides
// nothing, and knows neither patterns nor what the files mean.
//
// # How
//
// A change to a repository that exists goes through these steps, under a lock:
//
//  1. Check: each file must still be what the plan read.
//  2. Stage: the new files are written into .scaffold/stage, with a second
//     (hard) link to each file that will be replaced.
//  3. Journal: the list of what is about to happen becomes the file
//     .scaffold/stage/journal by one rename. Until here nothing that was there
//     has been touched.
//  4. Change: deleted files are moved into the stage, new ones out of it.
//  5. Done: the stage is renamed to .scaffold/done, then removed. If the change
//     is one that can be taken back it is renamed to .scaffold/kept, and then
//     takes the place of .scaffold/undo: it holds what was there before, see
//     [ReadLast].
//
// A failure in step 2 removes the stage; a failure in step 4 walks the journal
// backwards. [Recover] does the same for a run that was killed: a stage with a
// journal is undone, one without is removed, and .scaffold/done or .scaffold/kept
// means that the change was complete. A repository that does not exist yet is written beside
// its place under another name and moved there by one rename.
//
// # What survives
//
// A process killed at any moment leaves a repository that Recover brings to
// exactly before or exactly after. A file that someone edited in between stays as
// it is; what stood there before the change may stand nowhere else, and comes to
// stand beside it, as NAME.scaffold-old.
//
// A loss of power is another matter, and syncing each file would cost more than
// all else together. What takes the place of an owner's file is synced before
// it does, and so is the journal: no content that was there can be lost to a
// half-written one, as long as the disk keeps what fsync was told and the file
// system keeps the order of renames, as those with a journal do. Files that are
// only added are not synced: after a loss of power within seconds of the
// command they may be empty or missing, and the command has to be run again.
//
// A replaced file keeps its permissions, but for the executable bit; it becomes
// a new inode, so other hard links to it keep the old content.
package apply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// A Change is what shall happen to one file.
type Change struct {
	Path   string     // slash-separated, below the root
	Before *tree.File // as the plan read it; nil: nothing may be there
	After  *tree.File // as it shall be; nil: it shall be gone
	// Perm are the permissions of a file that is made. 0 stands for the usual
	// ones: those of After's mode less the umask.
	Perm fs.FileMode
}

// Diff returns the changes that turn before, as it was read from a root, into
// after, by path.
func Diff(before, after tree.Tree) []Change {
	var changes []Change
	for _, p := range before.Paths() {
		b := before[p]
		a, ok := after[p]
		switch {
		case !ok:
			changes = append(changes, Change{Path: p, Before: &b})
		case !a.Equal(b):
			changes = append(changes, Change{Path: p, Before: &b, After: &a})
		}
	}
	for _, p := range after.Paths() {
		if _, ok := before[p]; !ok {
			a := after[p]
			changes = append(changes, Change{Path: p, After: &a})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return changes
}

// Apply makes all the changes below the directory root, or none. It makes root
// itself if it does not exist. Changes that change nothing are checked, and
// write nothing.
//
// The error is a [*ChangedError] if a file is not what its Before says, and
// [ErrLocked] if another run is at work in root and does not end within two
// seconds. After any error root is as it was, unless the error says otherwise.
// Once the first file has been replaced, the end of ctx no longer stops it.
func Apply(ctx context.Context, root string, changes []Change) error {
	return applier{}.apply(ctx, root, changes)
}

// ApplyUndoable is [Apply], and keeps what the changes replace and delete in a
// root that existed, for [ReadLast], until the next change. The command is how
// the user called it.
func ApplyUndoable(ctx context.Context, root, command string, changes []Change) error {
	return applier{command: command}.apply(ctx, root, changes)
}

// applier carries what a test changes: a call that it sees before and after each
// call to the file system.
type applier struct {
	hook hook
	// command makes the change one that can be taken back.
	command string
}

func (a applier) apply(ctx context.Context, root string, changes []Change) error {
	changes, err := validate(changes)
	if err != nil {
		return err
	}
	at, err := open(root)
	if err != nil {
		return err
	}
	defer at.close()
	unlock, err := lock(ctx, at.root)
	if err != nil {
		return fmt.Errorf("%s: %w", root, err)
	}
	defer unlock()
	f := fsys{root: at.root, hook: a.hook, last: new(openDir)}
	defer f.leave()
	if at.missing == "" {
		if _, err := recoverStage(f); err != nil {
			return err
		}
		return change(ctx, f, a.command, changes)
	}
	if err := recoverNew(f, at.first()); err != nil {
		return err
	}
	return create(ctx, f, at, changes)
}

// validate returns the changes by path, or why they can't be made anywhere.
func validate(changes []Change) ([]Change, error) {
	changes = slices.Clone(changes)
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	folded := make(map[string]string, len(changes))
	for _, c := range changes {
		if err := tree.CheckPath(c.Path); err != nil {
			return nil, err
		}
		low := strings.ToLower(c.Path)
		for _, own := range []string{stageDir, doneDir, keptDir, undoDir} {
			if low == own || strings.HasPrefix(low, own+"/") {
				return nil, fmt.Errorf("%s: is where changes are staged", c.Path)
			}
		}
		if other, ok := folded[low]; ok {
			if other == c.Path {
				return nil, fmt.Errorf("%s: is changed twice", c.Path)
			}
			return nil, fmt.Errorf("%s: differs from %s only in upper and lower case; rename one of them", c.Path, other)
		}
		folded[low] = c.Path
	}
	for _, c := range changes {
		if c.After == nil {
			continue
		}
		for p := parent(strings.ToLower(c.Path)); p != "."; p = parent(p) {
			if other, ok := folded[p]; ok {
				return nil, fmt.Errorf("%s: %s is a file, so nothing can stand below it", c.Path, other)
			}
		}
	}
	return changes, nil
}

// place is where a root is, or will be: the nearest directory that exists, and
// the slash-separated path from there to the root, "" if the root exists.
type place struct {
	root    *os.Root
	dir     string
	missing string
}

func open(root string) (place, error) {
	dir, err := filepath.Abs(root)
	if err != nil {
		return place{}, fmt.Errorf("%s: %w", root, err)
	}
	var missing []string
	for {
		r, err := os.OpenRoot(dir)
		if err == nil {
			slices.Reverse(missing)
			return place{root: r, dir: dir, missing: strings.Join(missing, "/")}, nil
		}
		// A dangling link does not exist for OpenRoot, yet stands in the way.
		if _, lerr := os.Lstat(dir); lerr == nil || !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir { //nolint:gosec // the user's own word for where to work
			return place{}, fmt.Errorf("%s: can't be opened as a directory: %w; choose another folder", dir, reason(err))
		}
		missing = append(missing, filepath.Base(dir))
		dir = filepath.Dir(dir)
	}
}

func (p place) close() { _ = p.root.Close() }

// first is the first part of the missing path.
func (p place) first() string {
	first, _, _ := strings.Cut(p.missing, "/")
	return first
}

package apply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/internal/worktree"
)

// A step is one change that will be made, with what the check saw on disk.
type step struct {
	Change
	info fs.FileInfo // of the file that stands there, nil if none does
}

// change makes the changes in a root that exists.
func change(ctx context.Context, f fsys, command string, changes []Change) error {
	steps, j, err := check(f, changes)
	if err != nil || len(steps) == 0 {
		return err
	}
	j.Command = command
	made, err := stage(ctx, f, steps, j)
	if err != nil {
		return withdraw(f, made, err)
	}
	if err := commit(f, steps, j); err != nil {
		out, uerr := undo(f, j)
		if uerr != nil {
			return fmt.Errorf("%w; undoing it failed too (%w): run any scaffold command here to undo the rest", err, uerr)
		}
		if said := out.saved(); said != "" {
			err = fmt.Errorf("%w%s", err, said)
		}
		return withdraw(f, made, err)
	}
	// From here on the change is made. What can't be put away now the next
	// command puts away.
	_ = settle(f, command != "")
	return nil
}

// withdraw clears the stage of a change that failed with err.
func withdraw(f fsys, made bool, err error) error {
	if cerr := clearStage(f, made); cerr != nil && cerr.Error() != err.Error() { // said once
		return fmt.Errorf("%w (what was staged is left for the next command to remove: %w)", err, cerr)
	}
	return err
}

// check compares each file with what the plan read, and returns the changes that
// do something, with the journal of them.
func check(f fsys, changes []Change) ([]step, *journal, error) {
	root, err := f.root.OpenRoot(".")
	if err != nil {
		return nil, nil, failed(f.root.Name(), err)
	}
	c := checker{dir: worktree.Open(root), names: map[string]map[string]string{}, made: map[string]bool{}}
	defer func() { _ = c.dir.Close() }()
	var steps []step
	var changed []string
	for _, ch := range changes {
		info, same, err := c.compare(ch)
		switch {
		case err != nil:
			return nil, nil, err
		case !same:
			changed = append(changed, ch.Path)
		case !equal(ch.Before, ch.After):
			steps = append(steps, step{ch, info})
		}
	}
	if len(changed) > 0 {
		return nil, nil, &ChangedError{Paths: changed}
	}
	for _, s := range steps {
		if err := c.prepare(s); err != nil {
			return nil, nil, err
		}
	}
	j, err := c.journal(steps)
	return steps, j, err
}

// checker looks at the disk before a change.
type checker struct {
	dir   *worktree.Dir
	names map[string]map[string]string // directory → folded name → name
	made  map[string]bool              // directories that the change will make
}

// compare reports whether the file of ch is as its Before says.
func (c *checker) compare(ch Change) (fs.FileInfo, bool, error) {
	got, err := c.dir.File(ch.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ch.Before == nil, nil
	}
	if err != nil {
		return nil, false, err
	}
	if ch.Before == nil {
		return nil, false, nil
	}
	if !worktree.KeepsExec {
		got.Exec = ch.Before.Exec
	}
	return got.Info, got.Equal(*ch.Before), nil
}

// prepare reports why s can't be made, as far as that can be known.
func (c *checker) prepare(s step) error {
	if s.info != nil {
		if s.info.Mode()&0o200 == 0 {
			return fmt.Errorf("%s: is read-only; make it writable (chmod u+w) or leave it out, then run this again", s.Path)
		}
		return nil
	}
	// A new file: look for names on its way that differ only in case.
	dir := "."
	for elem := range strings.SplitSeq(s.Path, "/") {
		names, err := c.list(dir)
		if err != nil {
			return err
		}
		if there, ok := names[strings.ToLower(elem)]; ok && there != elem {
			return fmt.Errorf("%s: differs from %s, which exists, only in upper and lower case; rename one of them", s.Path, join(dir, there))
		}
		names[strings.ToLower(elem)] = elem
		dir = join(dir, elem)
	}
	for p := parent(s.Path); p != "." && !c.made[p]; p = parent(p) {
		if _, err := c.dir.Lstat(p); err == nil {
			break
		}
		c.made[p] = true
	}
	return nil
}

func (c *checker) list(dir string) (map[string]string, error) {
	if names, ok := c.names[dir]; ok {
		return names, nil
	}
	there, err := c.dir.Names(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := make(map[string]string, len(there))
	for _, name := range there {
		names[strings.ToLower(name)] = name
	}
	c.names[dir] = names
	return names, nil
}

func (c *checker) journal(steps []step) (*journal, error) {
	delete(c.made, ownDir)
	j := &journal{Version: journalVersion, Made: slices.Sorted(maps.Keys(c.made))}
	above := map[string]bool{}
	for _, s := range steps {
		j.Changes = append(j.Changes, entry{Path: s.Path, Before: hash(s.Before), After: hash(s.After)})
		if s.After != nil {
			continue
		}
		for p := parent(s.Path); p != "." && p != ownDir; p = parent(p) {
			above[p] = true
		}
	}
	for _, p := range slices.Sorted(maps.Keys(above)) {
		info, err := c.dir.Lstat(p)
		if err != nil {
			return nil, err
		}
		j.Pruned = append(j.Pruned, directory{Path: p, Perm: info.Mode().Perm()})
	}
	return j, nil
}

// stage writes all that the change needs into the stage, and at last its
// journal. It reports whether it made the directory that holds the stage.
func stage(ctx context.Context, f fsys, steps []step, j *journal) (made bool, err error) {
	switch err := f.mkdir(ownDir, 0o755); {
	case err == nil:
		made = true
	case !errors.Is(err, fs.ErrExist):
		return false, failed(filepath.Join(f.root.Name(), ownDir), err)
	}
	if err := f.mkdir(stageDir, 0o755); err != nil {
		return made, failed(stageDir, err)
	}
	var replaced []string
	for i, s := range steps {
		if err := ctx.Err(); err != nil {
			return made, err
		}
		names, err := stageOne(f, i, s)
		if err != nil {
			return made, failed(s.Path, err)
		}
		if s.Before != nil {
			replaced = append(replaced, names...)
		}
	}
	if err := f.flush(replaced); err != nil {
		return made, failed(stageDir, err)
	}
	return made, j.write(f)
}

// stageOne writes the new file of one step and links the old one. It returns the
// names of what it wrote.
func stageOne(f fsys, i int, s step) (written []string, err error) {
	if s.After != nil {
		perm, exact := s.After.Mode(), false
		if s.info != nil {
			perm, exact = keepPerm(s.info.Mode().Perm(), s.After.Exec), true
		} else if s.Perm != 0 {
			perm, exact = s.Perm.Perm(), true
		}
		if err := f.write(newFile(i), s.After.Data, perm, exact); err != nil {
			return nil, err
		}
		written = append(written, newFile(i))
	}
	if s.Before == nil || s.After == nil {
		return written, nil
	}
	if f.link(s.Path, oldFile(i)) == nil {
		return written, nil
	}
	// Not every file system has hard links, and not every file may be linked.
	_ = f.remove(oldFile(i))
	if err := f.write(oldFile(i), s.Before.Data, s.info.Mode().Perm(), true); err != nil {
		return nil, err
	}
	return append(written, oldFile(i)), nil
}

// keepPerm is perm with the executable bits as exec says: for those who can
// read, if it gets them.
func keepPerm(perm fs.FileMode, exec bool) fs.FileMode {
	switch {
	case exec == (perm&0o100 != 0):
		return perm
	case exec:
		return perm | perm&0o444>>2
	}
	return perm &^ 0o111
}

// commit moves everything into place.
func commit(f fsys, steps []step, j *journal) error {
	for i, s := range steps {
		if s.After != nil {
			continue
		}
		if err := untouched(f, s); err != nil {
			return err
		}
		if err := f.rename(s.Path, oldFile(i)); err != nil {
			return failed(s.Path, err)
		}
	}
	for _, p := range j.Made {
		if err := f.mkdir(p, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return failed(p, err)
		}
	}
	for i, s := range steps {
		if s.After == nil {
			continue
		}
		if err := untouched(f, s); err != nil {
			return err
		}
		if err := f.rename(newFile(i), s.Path); err != nil {
			return failed(s.Path, err)
		}
	}
	for _, d := range slices.Backward(j.Pruned) {
		if err := removeEmpty(f, d.Path); err != nil {
			return err
		}
	}
	to := doneDir
	if j.Command != "" {
		to = keptDir
	}
	if err := f.move(stageDir, to); err != nil {
		return failed(stageDir, err)
	}
	return nil
}

// untouched compares the file of s with what the check saw, by what the file
// system says of it: a file that someone saved since then is left alone.
func untouched(f fsys, s step) error {
	info, err := f.lstat(s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.info == nil:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return failed(s.Path, err)
	case err != nil || s.info == nil || !info.ModTime().Equal(s.info.ModTime()) ||
		info.Size() != s.info.Size() || info.Mode() != s.info.Mode():
		return &ChangedError{Paths: []string{s.Path}}
	}
	return nil
}

// equal compares two files of which either may be none.
func equal(a, b *tree.File) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

func hash(f *tree.File) string {
	if f == nil {
		return ""
	}
	g := *f
	g.Exec = g.Exec && worktree.KeepsExec
	return g.Hash()
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

package apply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// What this package keeps in a repository while it changes it.
const (
	ownDir      = ".scaffold"
	stageDir    = ownDir + "/stage" // a change that is not complete
	doneDir     = ownDir + "/done"  // the rest of one that is
	keptDir     = ownDir + "/kept"  // the rest of one that is and that can be taken back
	undoDir     = ownDir + "/undo"  // what the last one replaced and deleted
	journalName = "journal"
	journalFile = stageDir + "/" + journalName
)

func newFile(i int) string { return stageDir + "/" + strconv.Itoa(i) + ".new" }
func oldFile(i int) string { return oldFileIn(stageDir, i) }

func oldFileIn(dir string, i int) string { return dir + "/" + strconv.Itoa(i) + ".old" }

// A State is what Recover found.
type State int

// The states of a repository that Recover was called on.
const (
	Clean    State = iota // no command was interrupted, or before it wrote anything
	Undone                // one was; the files are as they were before it
	Finished              // one was, after its last change; the files are as it left them
)

// An Outcome is what Recover found and did.
type Outcome struct {
	State State
	// Kept are the files that someone changed after the interruption. They are
	// as they were found.
	Kept []string
	// Saved are files beside some of those, with what stood there before the
	// command: it may stand nowhere else.
	Saved []string
}

// String is one line for the user, "" if there is nothing to tell.
func (o Outcome) String() string {
	switch {
	case o.State == Finished:
		return "an earlier command was interrupted after its last change: the change is complete"
	case o.State == Undone && len(o.Kept) > 0:
		return "an earlier command was interrupted and has been undone, but for files that were edited since: " + strings.Join(o.Kept, ", ") + o.saved()
	case o.State == Undone:
		return "an earlier command was interrupted and has been undone: the files are as they were before it"
	}
	return ""
}

// Recover brings the directory root, which need not exist, to a whole state if a
// command was interrupted in it: as before that command, or as after it. Every
// command calls it before it reads a file. If nothing was interrupted it costs
// two looks at the disk and writes nothing.
func Recover(ctx context.Context, root string) (Outcome, error) {
	return applier{}.recover(ctx, root)
}

func (a applier) recover(ctx context.Context, root string) (Outcome, error) {
	at, err := open(root)
	if err != nil {
		return Outcome{}, err
	}
	defer at.close()
	f := fsys{root: at.root, hook: a.hook}
	if at.missing != "" {
		return a.recoverNew(ctx, f, at.first())
	}
	out, err := a.recoverStage(ctx, f)
	if err != nil || out.State != Clean {
		return out, err
	}
	// A new directory may have been given to root's place by someone else.
	above, err := open(filepath.Dir(at.dir))
	if err != nil || above.dir == at.dir || above.missing != "" {
		return out, nil
	}
	defer above.close()
	return a.recoverNew(ctx, fsys{root: above.root, hook: a.hook}, filepath.Base(at.dir))
}

func (a applier) recoverNew(ctx context.Context, f fsys, first string) (Outcome, error) {
	if there, err := exists(f, newName(first)); err != nil || !there {
		return Outcome{}, err
	}
	unlock, err := lock(ctx, f.root)
	if err != nil {
		return Outcome{}, fmt.Errorf("%s: %w", f.root.Name(), err)
	}
	defer unlock()
	// Whoever held the lock may have ended well.
	if there, err := exists(f, newName(first)); err != nil || !there {
		return Outcome{}, err
	}
	if err := recoverNew(f, first); err != nil {
		return Outcome{}, err
	}
	return Outcome{State: Undone}, nil
}

// recoverNew removes what a run that made a new root left beside it.
func recoverNew(f fsys, first string) error {
	if err := f.removeAll(newName(first)); err != nil {
		return failed(filepath.Join(f.root.Name(), newName(first)), err)
	}
	return nil
}

func (a applier) recoverStage(ctx context.Context, f fsys) (Outcome, error) {
	if found, err := look(f); err != nil || found == (remains{}) {
		return Outcome{}, err
	}
	unlock, err := lock(ctx, f.root)
	if err != nil {
		return Outcome{}, fmt.Errorf("%s: %w", f.root.Name(), err)
	}
	defer unlock()
	return recoverStage(f)
}

// remains are what a run can leave inside a root.
type remains struct {
	stage, done, kept bool
	empty             bool // the directory that holds them, and nothing in it: not worth a word
}

func look(f fsys) (r remains, err error) {
	for _, dir := range []struct {
		path  string
		there *bool
	}{{ownDir, &r.empty}, {stageDir, &r.stage}, {doneDir, &r.done}, {keptDir, &r.kept}} {
		info, err := f.lstat(dir.path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && dir.path == ownDir:
			return r, nil
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return r, failed(dir.path, err)
		case !info.IsDir():
			return r, fmt.Errorf("%s: is no directory; move it away", dir.path)
		}
		*dir.there = true
	}
	if r.stage || r.done || r.kept {
		r.empty = false
		return r, nil
	}
	r.empty, err = isEmpty(f, ownDir)
	return r, err
}

// recoverStage clears what a run left inside a root. The caller has the lock.
func recoverStage(f fsys) (out Outcome, err error) {
	found, err := look(f)
	if err != nil {
		return out, err
	}
	if found.done || found.kept {
		if err := settle(f, found.kept); err != nil {
			return out, err
		}
		out.State = Finished
	}
	undone := Outcome{State: Undone}
	if found.stage {
		j, err := readJournal(f, stageDir)
		if err != nil {
			return out, err
		}
		if j != nil {
			if undone, err = undo(f, j); err != nil {
				return out, fmt.Errorf("an interrupted change could not be undone: %w", err)
			}
		}
	}
	if found.stage || found.empty {
		if err := clearStage(f, true); err != nil {
			return out, err
		}
	}
	if found.stage {
		out = undone
	}
	return out, nil
}

// clearStage removes a stage that is not needed, journal first, and the
// directory that holds it if that was made for it and is empty.
func clearStage(f fsys, made bool) error {
	if err := f.remove(journalFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed(journalFile, err)
	}
	if err := f.removeAll(stageDir); err != nil {
		return failed(stageDir, err)
	}
	if made {
		return removeEmpty(f, ownDir)
	}
	return nil
}

// settle puts the rest of a complete change away: where [ReadLast] looks, if it
// is kept, or else out of the way, with the directory that holds it if the change
// removed the record itself. What the change before left can't be taken back any
// more.
func settle(f fsys, kept bool) error {
	if err := f.removeAll(undoDir); err != nil {
		return failed(undoDir, err)
	}
	if kept {
		if err := f.move(keptDir, undoDir); err != nil {
			return failed(keptDir, err)
		}
		return nil
	}
	if err := f.removeAll(doneDir); err != nil {
		return failed(doneDir, err)
	}
	return removeEmpty(f, ownDir)
}

// removeEmpty removes the directory dir if it is there and nothing is in it.
func removeEmpty(f fsys, dir string) error {
	empty, err := isEmpty(f, dir)
	if err != nil || !empty {
		return err
	}
	if err := f.remove(dir); err != nil {
		return failed(dir, err)
	}
	return nil
}

// isEmpty reports whether dir is a directory with nothing in it.
func isEmpty(f fsys, dir string) (bool, error) {
	kind, err := kindOf(f, dir)
	if err != nil {
		return false, failed(dir, err)
	}
	if kind != directoryKind {
		return false, nil
	}
	names, err := f.names(dir)
	if err != nil {
		return false, failed(dir, err)
	}
	return len(names) == 0, nil
}

func exists(f fsys, p string) (bool, error) {
	_, err := f.lstat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// undo walks the journal backwards. It can be ended at any point and begun
// again: each file that it finds as it was before is done. Files that are neither
// as before nor as after it leaves alone, with what was there before beside them.
func undo(f fsys, j *journal) (Outcome, error) {
	out := Outcome{State: Undone}
	for i, e := range slices.Backward(j.Changes) {
		ok, err := undoOne(f, j, i, e)
		if err == nil && !ok {
			out.Kept = append(out.Kept, e.Path)
			err = out.save(f, i, e)
		}
		if err != nil {
			return out, failed(e.Path, err)
		}
	}
	for _, p := range slices.Backward(j.Made) {
		if err := removeEmpty(f, p); err != nil {
			return out, err
		}
	}
	slices.Sort(out.Kept)
	slices.Sort(out.Saved)
	return out, nil
}

func undoOne(f fsys, j *journal, i int, e entry) (ok bool, err error) {
	now, err := standing(f, e.Path)
	if err != nil {
		return false, err
	}
	switch {
	case now == e.Before:
		return true, nil
	case e.Before == "" && now == e.After:
		return true, f.remove(e.Path)
	case now != e.After && now != "":
		return false, nil // someone's edit
	case e.Before == "":
		return true, nil
	}
	old, err := standing(f, oldFile(i))
	if err != nil {
		return false, err
	}
	if old != e.Before {
		return false, fmt.Errorf("its earlier content is not in %s; take it from git, then delete %s", oldFile(i), stageDir)
	}
	if err := restoreDirs(f, j, e.Path); err != nil {
		return false, err
	}
	return true, f.rename(oldFile(i), e.Path)
}

// A kind is what stands at a path.
type kind int

const (
	nothing kind = iota
	fileKind
	directoryKind
	otherKind // a link or a device, or something below one
)

// kindOf looks at p without following a link on the way there.
func kindOf(f fsys, p string) (kind, error) {
	for dir := parent(p); dir != "."; dir = parent(dir) {
		if info, err := f.lstat(dir); err == nil && !info.IsDir() {
			return otherKind, nil
		}
	}
	info, err := f.lstat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nothing, nil
	case err != nil:
		return otherKind, err
	case info.IsDir():
		return directoryKind, nil
	case info.Mode().IsRegular():
		return fileKind, nil
	}
	return otherKind, nil
}

// notAFile is what standing returns where no hash can be taken. It is no hash.
const notAFile = "not a file"

// standing is the hash of the regular file at p, "" if nothing is there.
func standing(f fsys, p string) (string, error) {
	switch kind, err := kindOf(f, p); {
	case err != nil || kind == nothing:
		return "", err
	case kind != fileKind:
		return notAFile, nil
	}
	info, err := f.lstat(p)
	if err != nil {
		return "", err
	}
	data, err := f.readFile(p)
	if err != nil {
		return "", err
	}
	return hash(&tree.File{Data: data, Exec: info.Mode()&0o100 != 0}), nil
}

// restoreDirs makes the pruned directories above p again.
func restoreDirs(f fsys, j *journal, p string) error {
	for _, d := range j.Pruned {
		if !strings.HasPrefix(p, d.Path+"/") {
			continue
		}
		if err := f.mkdir(d.Path, d.Perm.Perm()); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		info, err := f.lstat(d.Path)
		if err == nil && info.Mode().Perm() != d.Perm.Perm() {
			err = f.chmod(d.Path, d.Perm.Perm())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Package worktree reads a user's files: the given paths below the root of a
// repository, through [os.Root] and never through a symbolic link.
//
// It writes nothing, and knows neither patterns nor what was recorded.
package worktree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// KeepsExec reports whether this platform's file systems keep a file's
// executable bit. Where they don't, a file has the one that was recorded for
// it, so that its loss is not taken for an edit.
const KeepsExec = runtime.GOOS != "windows"

// Read returns those of paths that exist below the directory root as regular
// files. A path that is not there is absent from the result; so is every path
// if root itself does not exist. A symbolic link on the way to a path or at its
// end, a directory in a file's place and any other kind of file is an error
// that names it. On platforms that keep no executable bit it is taken from
// recorded, which may be nil.
func Read(root string, paths []string, recorded tree.Tree) (tree.Tree, error) {
	got := make(tree.Tree, len(paths))
	r, err := os.OpenRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return got, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", root, reason(err))
	}
	d := Open(r)
	defer func() { _ = d.Close() }()
	for _, p := range paths {
		f, err := d.File(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		if !KeepsExec {
			f.Exec = recorded[p].Exec
		}
		got[p] = f.File
	}
	return got, nil
}

// Beside returns the regular files below the directory root that stand in the folder
// of one of paths and are like it, as like says of two paths. No one asked for them:
// what can't be read, or is larger than any file that people write, is left out.
func Beside(root string, paths []string, like func(p, other string) bool) tree.Tree {
	got := make(tree.Tree)
	if len(paths) == 0 {
		return got
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return got
	}
	d := Open(r)
	defer func() { _ = d.Close() }()
	listed := make(map[string][]string)
	for _, p := range paths {
		dir := path.Dir(p)
		if _, ok := listed[dir]; !ok {
			listed[dir], _ = d.Names(dir)
		}
		for _, name := range listed[dir] {
			const tooLarge = 1 << 20
			other := path.Join(dir, name)
			if _, ok := got[other]; ok || !like(p, other) {
				continue
			}
			if info, err := d.Lstat(other); err != nil || info.Size() > tooLarge {
				continue
			}
			if f, err := d.File(other); err == nil {
				got[other] = f.File
			}
		}
	}
	return got
}

// A File is one regular file as it stands on disk.
type File struct {
	tree.File
	Info fs.FileInfo
}

// A Dir reads files below one root. It remembers the directories that it has
// been through, so it is for one short run, by one goroutine.
type Dir struct {
	root *os.Root
	dirs map[string]dir
}

// dir is what is known of one directory: an open root, or why there is none.
type dir struct {
	root *os.Root
	err  error
}

// Open returns a Dir for the files below root, which it closes with itself.
func Open(root *os.Root) *Dir {
	return &Dir{root: root, dirs: map[string]dir{".": {root: root}}}
}

// Close closes the root and all that File opened.
func (d *Dir) Close() error {
	var errs []error
	for _, sub := range d.dirs {
		if sub.root != nil {
			errs = append(errs, sub.root.Close())
		}
	}
	return errors.Join(errs...)
}

// File reads the regular file at the slash-separated path p. The error is
// [fs.ErrNotExist] if nothing is there.
func (d *Dir) File(p string) (File, error) {
	info, err := d.Lstat(p)
	if err != nil {
		return File{}, err
	}
	switch {
	case info.IsDir():
		return File{}, fmt.Errorf("%s: is a directory where a file should be; move it away", p)
	case !info.Mode().IsRegular():
		return File{}, fmt.Errorf("%s: is no regular file (%s); move it away", p, info.Mode().Type())
	}
	parent, name := path.Split(p)
	data, err := d.dirs[clean(parent)].root.ReadFile(name)
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", p, reason(err))
	}
	return File{File: tree.File{Data: data, Exec: info.Mode()&0o100 != 0}, Info: info}, nil
}

// Lstat describes what stands at p. A link there, or on the way there, is an
// error.
func (d *Dir) Lstat(p string) (fs.FileInfo, error) {
	if err := tree.CheckPath(p); err != nil {
		return nil, err
	}
	parent, name := path.Split(p)
	sub := d.open(clean(parent))
	if sub.err != nil {
		return nil, sub.err
	}
	return d.lstat(sub.root, p, name)
}

func (d *Dir) lstat(in *os.Root, p, name string) (fs.FileInfo, error) {
	info, err := in.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, reason(err))
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		to, _ := in.Readlink(name)
		return nil, &LinkError{Path: p, Target: to}
	}
	return info, nil
}

// Names lists the directory p, which is "." for the root. The error is
// [fs.ErrNotExist] if there is no such directory.
func (d *Dir) Names(p string) ([]string, error) {
	sub := d.open(p)
	if sub.err != nil {
		return nil, sub.err
	}
	f, err := sub.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, reason(err))
	}
	defer func() { _ = f.Close() }()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, reason(err))
	}
	return names, nil
}

// FS returns the files as an [fs.FS] that follows no link.
func (d *Dir) FS() fs.FS { return dirFS{d} }

type dirFS struct{ d *Dir }

// in returns the directory that name is in, opened, and its name there.
func (f dirFS) in(op, name string) (*os.Root, string, error) {
	if !fs.ValidPath(name) {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	parent, base := path.Split(name)
	sub := f.d.open(clean(parent))
	return sub.root, base, sub.err
}

func (f dirFS) Open(name string) (fs.File, error) {
	root, base, err := f.in("open", name)
	if err != nil {
		return nil, err
	}
	return root.Open(base)
}

func (f dirFS) ReadFile(name string) ([]byte, error) {
	root, base, err := f.in("open", name)
	if err != nil {
		return nil, err
	}
	return root.ReadFile(base)
}

func (f dirFS) Lstat(name string) (fs.FileInfo, error) {
	root, base, err := f.in("lstat", name)
	if err != nil {
		return nil, err
	}
	return root.Lstat(base)
}

func (f dirFS) ReadLink(name string) (string, error) {
	root, base, err := f.in("readlink", name)
	if err != nil {
		return "", err
	}
	return root.Readlink(base)
}

func (d *Dir) open(p string) dir {
	if known, ok := d.dirs[p]; ok {
		return known
	}
	var found dir
	found.root, found.err = d.openNew(p)
	d.dirs[p] = found
	return found
}

func (d *Dir) openNew(p string) (*os.Root, error) {
	above, name := path.Split(p)
	parent := d.open(clean(above))
	if parent.err != nil {
		return nil, parent.err
	}
	info, err := d.lstat(parent.root, p, name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: is a file where a directory should be; move it away", p)
	}
	sub, err := parent.root.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, reason(err))
	}
	return sub, nil
}

// A LinkError says that a path is, or leads through, a symbolic link. Links are
// refused wherever they lead: a write through one would change a file under
// another name than the one that was shown.
type LinkError struct {
	Path   string // the link
	Target string // what it holds
}

func (e *LinkError) Error() string {
	where := "elsewhere in the repository"
	if escapes(e.Path, e.Target) {
		where = "out of the repository"
	}
	return fmt.Sprintf("%s: is a symbolic link that leads %s (to %q), and links are not followed; put the file itself in its place", e.Path, where, e.Target)
}

func escapes(link, target string) bool {
	if path.IsAbs(target) || strings.ContainsAny(target, `\:`) {
		return true
	}
	to := path.Join(path.Dir(link), target)
	return to == ".." || strings.HasPrefix(to, "../")
}

// clean turns the directory part of path.Split into the path of a directory.
func clean(dir string) string {
	if dir == "" {
		return "."
	}
	return strings.TrimSuffix(dir, "/")
}

// reason drops the operation and the path from an error: the caller names the
// path by the user's name for it.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

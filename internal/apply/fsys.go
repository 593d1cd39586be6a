package apply

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"sync"
)

// A hook sees each call to the file system before and after it is made. An error
// before a call is that call's result. It is nil but in tests.
type hook func(op, name string, after bool) error

// fsys is all that this package does to a disk, one method a call, so that a
// test can fail each of them or end the process after it.
type fsys struct {
	root *os.Root
	hook hook
	// last is the directory that was last looked at or written to: many files are
	// in one, and each way there is a call for every name on it. nil keeps none.
	last *openDir
}

type openDir struct {
	path string
	root *os.Root
}

// in returns a root from which the file of that name is made, and its name there.
func (f fsys) in(name string) (*os.Root, string) {
	if f.last == nil {
		return f.root, name
	}
	dir, base := parent(name), path.Base(name)
	if dir != f.last.path {
		f.leave()
		root, err := f.root.OpenRoot(dir)
		if err != nil {
			return f.root, name // which says what is wrong
		}
		*f.last = openDir{dir, root}
	}
	return f.last.root, base
}

// leave forgets the last directory: it may be another one soon, or be gone.
func (f fsys) leave() {
	if f.last != nil && f.last.root != nil {
		_ = f.last.root.Close()
		*f.last = openDir{}
	}
}

func (f fsys) call(op, name string, do func() error) error {
	if f.hook == nil {
		return do()
	}
	if err := f.hook(op, name, false); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	err := do()
	_ = f.hook(op, name, true)
	return err
}

func (f fsys) lstat(name string) (info fs.FileInfo, err error) {
	err = f.call("lstat", name, func() error {
		root, base := f.in(name)
		info, err = root.Lstat(base)
		return err
	})
	return info, err
}

func (f fsys) readFile(name string) (data []byte, err error) {
	err = f.call("read", name, func() error {
		data, err = f.root.ReadFile(name)
		return err
	})
	return data, err
}

// names returns up to one of the names in dir.
func (f fsys) names(dir string) (names []string, err error) {
	err = f.call("list", dir, func() error {
		d, err := f.root.Open(dir)
		if err != nil {
			return err
		}
		defer func() { _ = d.Close() }()
		names, err = d.Readdirnames(1)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return err
	})
	return names, err
}

func (f fsys) mkdir(name string, perm fs.FileMode) error {
	return f.call("mkdir", name, func() error { return f.root.Mkdir(name, perm) })
}

func (f fsys) link(from, to string) error {
	return f.call("link", to, func() error { return f.root.Link(from, to) })
}

// rename moves a file.
func (f fsys) rename(from, to string) error {
	return f.call("rename", to, func() error { return f.root.Rename(from, to) })
}

// move moves a directory.
func (f fsys) move(from, to string) error {
	f.leave()
	return f.rename(from, to)
}

func (f fsys) remove(name string) error {
	f.leave()
	return f.call("remove", name, func() error { return f.root.Remove(name) })
}

func (f fsys) removeAll(name string) error {
	f.leave()
	return f.call("removeall", name, func() error { return f.root.RemoveAll(name) })
}

func (f fsys) chmod(name string, perm fs.FileMode) error {
	return f.call("chmod", name, func() error { return f.root.Chmod(name, perm) })
}

// write makes a new file with exactly perm if exact, or else with perm less the
// umask, and syncs it if told.
func (f fsys) write(name string, data []byte, perm fs.FileMode, exact bool) (err error) {
	var file *os.File
	err = f.call("create", name, func() error {
		root, base := f.in(name)
		file, err = root.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := file.Close(); err == nil {
			err = cerr
		}
	}()
	parts := [][]byte{data}
	if f.hook != nil { // a write can end half way
		parts = [][]byte{data[:len(data)/2], data[len(data)/2:]}
	}
	for _, part := range parts {
		err = f.call("write", name, func() error {
			_, err := file.Write(part)
			return err
		})
		if err != nil {
			return err
		}
	}
	if exact {
		return f.call("fchmod", name, func() error { return file.Chmod(perm) })
	}
	return nil
}

// syncWorkers is how many files are synced at a time: a journalling file system
// commits what waits together.
const syncWorkers = 16

// flush syncs the files and directories, which must exist, several at a time. It
// leaves the disk's own cache to the sync that follows, see [fsys.sync].
func (f fsys) flush(names []string) error {
	if f.hook != nil { // called by one goroutine, so that a test sees one order
		for _, name := range names {
			if err := f.call("sync", name, func() error { return nil }); err != nil {
				return err
			}
		}
	}
	todo := make(chan string, len(names))
	for _, name := range names {
		todo <- name
	}
	close(todo)
	errs := make([]error, min(syncWorkers, len(names)))
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for name := range todo {
				if err := f.syncOne(name, flush); err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// sync makes one file durable, with all that was flushed before.
func (f fsys) sync(name string) error {
	return f.call("sync", name, func() error { return f.syncOne(name, (*os.File).Sync) })
}

func (f fsys) syncOne(name string, how func(*os.File) error) error {
	file, err := openToSync(f.root, name)
	if err != nil || file == nil {
		return err
	}
	err = how(file)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	return err
}

// openToSync returns nil for a directory on Windows, where none can be synced.
func openToSync(root *os.Root, name string) (*os.File, error) {
	if runtime.GOOS != "windows" {
		return root.Open(name)
	}
	info, err := root.Lstat(name)
	if err != nil || info.IsDir() {
		return nil, err
	}
	return root.OpenFile(name, os.O_RDWR, 0)
}

// parent is the directory of the slash-separated path p, "." for the root.
func parent(p string) string { return path.Dir(p) }

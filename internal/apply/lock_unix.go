//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package apply

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks the directory itself, so that no lock file is left behind. File
// systems that lock no directory (NFS) get a lock file outside of it, which
// keeps apart the runs on one machine.
func tryLock(dir *os.File) (unlock func(), err error) {
	err = flock(dir)
	if err == nil {
		return func() {}, nil // closing dir unlocks it
	}
	if errors.Is(err, errBusy) {
		return nil, err
	}
	file, err := lockFile(dir.Name())
	if err != nil {
		return nil, err
	}
	if err := flock(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return func() { _ = file.Close() }, nil
}

func flock(f *os.File) error {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
		case syscall.EINTR:
		case syscall.EWOULDBLOCK:
			return errBusy
		default:
			return err
		}
	}
}

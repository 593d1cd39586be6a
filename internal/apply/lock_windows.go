package apply

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// tryLock locks a file outside of the directory, because directories can't be
// locked here and a file that is left in the repository would be in the way.
func tryLock(dir *os.File) (unlock func(), err error) {
	file, err := lockFile(dir.Name())
	if err != nil {
		return nil, err
	}
	err = windows.LockFileEx(windows.Handle(file.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	if err != nil {
		_ = file.Close()
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			return nil, errBusy
		}
		return nil, err
	}
	return func() { _ = file.Close() }, nil
}

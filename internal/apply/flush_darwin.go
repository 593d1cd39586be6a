package apply

import (
	"os"
	"syscall"
)

// flush hands the file to the disk without emptying the disk's own cache, which
// on this platform costs milliseconds a file; the journal's Sync, which comes
// after all of them, empties it once.
func flush(f *os.File) error {
	for {
		if err := syscall.Fsync(int(f.Fd())); err != syscall.EINTR {
			return err
		}
	}
}

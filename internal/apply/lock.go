package apply

import (
	"context"
	"errors"
	"os"
	"time"
)

// ErrLocked says that another scaffold command is at work in the same directory.
var ErrLocked = errors.New("another scaffold command is at work here; let it end, then run this again")

// How long a second run waits for the first, and how often it looks.
const (
	lockWait = 2 * time.Second
	lockPoll = 10 * time.Millisecond
)

// errBusy is what tryLock returns while another holds the lock.
var errBusy = errors.New("locked")

// lock takes the lock of the directory that root is open on. It ends with the
// process, and leaves no file in the directory.
func lock(ctx context.Context, root *os.Root) (unlock func(), err error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, reason(err)
	}
	give := time.NewTimer(lockWait)
	defer give.Stop()
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		unlock, err := tryLock(dir)
		if err == nil {
			return func() { unlock(); _ = dir.Close() }, nil
		}
		if !errors.Is(err, errBusy) {
			_ = dir.Close()
			return nil, err
		}
		select {
		case <-tick.C:
		case <-give.C:
			_ = dir.Close()
			return nil, ErrLocked
		case <-ctx.Done():
			_ = dir.Close()
			return nil, ctx.Err()
		}
	}
}

package apply

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// A ChangedError says which files are not as the plan read them.
type ChangedError struct {
	Paths []string
}

func (e *ChangedError) Error() string {
	const most = 5
	paths := strings.Join(e.Paths[:min(most, len(e.Paths))], ", ")
	if more := len(e.Paths) - most; more > 0 {
		paths += fmt.Sprintf(" and %d more", more)
	}
	return paths + ": changed since it was read; nothing was written, run this again"
}

// failed is err as a user reads it: the file, what happened and what to do.
func failed(path string, err error) error {
	why := reason(err)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s: %w; free some space, then run this again", path, why)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s: %w; nothing can be written on this disk", path, why)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w; make it and its directory writable, then run this again", path, why)
	}
	return fmt.Errorf("%s: %w", path, why)
}

// reason drops the operation and the path from an error: the caller names the
// path by the user's name for it.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		return le.Err
	}
	return err
}

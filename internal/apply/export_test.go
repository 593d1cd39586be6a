//go:build unix

package apply

import "context"

// Hooked is [ApplyUndoable], or [Apply] without a command, with a call that sees
// each call to the file system before and after it is made.
func Hooked(ctx context.Context, root, command string, changes []Change, h func(op, name string, after bool) error) error {
	return applier{command: command, hook: h}.apply(ctx, root, changes)
}

// The variables by which a test binary ends itself, see killSelf.
const (
	KillRoot    = killRoot
	KillChanges = killChanges
	KillCall    = killCall
)

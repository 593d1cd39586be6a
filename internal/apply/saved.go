package apply

import (
	"fmt"
	"strconv"
	"strings"
)

// save moves what the change had replaced or deleted out of the stage, which goes,
// and beside what someone put in its place meanwhile. Of the record, git has all.
func (o *Outcome) save(f fsys, i int, e entry) error {
	if e.Before == "" || strings.HasPrefix(e.Path, ownDir+"/") {
		return nil
	}
	if e.After != "" { // while the new file is still there, the old one was not touched
		if waits, err := exists(f, newFile(i)); err != nil || waits {
			return err
		}
	}
	old, err := kindOf(f, oldFile(i))
	if err != nil {
		return err
	}
	if dir, err := kindOf(f, parent(e.Path)); err != nil || dir != directoryKind {
		if err == nil && old == fileKind {
			err = fmt.Errorf("what stood there before is in %s; take from it what you need, then delete %s", oldFile(i), stageDir)
		}
		return err
	}
	for n := 1; ; n++ {
		to := savedName(e.Path, n)
		there, err := standing(f, to)
		switch {
		case err != nil:
			return err
		case there == e.Before: // by a recovery that was interrupted itself
			o.Saved = append(o.Saved, to)
			return nil
		case there != "":
			continue
		case old != fileKind:
			return nil
		}
		o.Saved = append(o.Saved, to)
		return f.rename(oldFile(i), to)
	}
}

// savedName is the n-th name beside p for what stood there.
func savedName(p string, n int) string {
	if n == 1 {
		return p + ".scaffold-old"
	}
	return p + ".scaffold-old-" + strconv.Itoa(n)
}

// saved says where what stood in some files' place is, or nothing.
func (o Outcome) saved() string {
	if len(o.Saved) == 0 {
		return ""
	}
	return "; what stood there before it is in " + strings.Join(o.Saved, ", ") + ": take from it what you need, then delete it"
}

package plan

import (
	"bytes"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// Unresolved returns the line, counted from 1, at which the owner's file has
// conflict markers that no one has resolved, if it is due a merge; else 0. A
// merge would take them for the owner's own lines.
func (s Step) Unresolved() int {
	if s.Base == nil || s.Next == nil || s.Work == nil ||
		same(s.Base, s.Next) || same(s.Base, s.Work) || marked(s.Base) != 0 {
		return 0
	}
	return marked(s.Work)
}

// marked is the line of the first whole conflict in a file, as git and scaffold
// write them, or 0.
func marked(f *tree.File) int {
	opened, parted, n := 0, false, 0
	for line := range bytes.Lines(f.Data) {
		n++
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case bytes.HasPrefix(line, []byte("<<<<<<< ")):
			opened, parted = n, false
		case opened > 0 && string(line) == "=======":
			parted = true
		case parted && bytes.HasPrefix(line, []byte(">>>>>>> ")):
			return opened
		}
	}
	return 0
}

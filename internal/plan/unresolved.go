package plan

import (
	"bytes"

	"github.com/seed-d146d9dc/scaffold/internal/merge"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// Unresolved returns the line, counted from 1, at which the owner's file has
// conflict markers that no one has resolved; else 0. Those that scaffold has
// written count always. Those of others count where a merge is due that would take
// them for the owner's own lines, and not in plain text, which may speak of them.
func (s Step) Unresolved() int {
	if s.Base == nil || s.Work == nil || same(s.Base, s.Work) || marked(s.Base, opener, closer) != 0 {
		return 0
	}
	if own := marked(s.Work, "<<<<<<< "+labels.Ours, ">>>>>>> "+labels.Theirs); own > 0 {
		return own
	}
	if s.Next == nil || same(s.Base, s.Next) || KindOf(s.Path) == merge.Text {
		return 0
	}
	return marked(s.Work, opener, closer)
}

// How the markers of a conflict begin, as git and scaffold write them.
const (
	opener = "<<<<<<< "
	closer = ">>>>>>> "
)

// marked is the line of the first whole conflict in a file, or 0.
func marked(f *tree.File, open, end string) int {
	opened, parted, n := 0, false, 0
	for line := range bytes.Lines(f.Data) {
		n++
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case bytes.HasPrefix(line, []byte(open)):
			opened, parted = n, false
		case opened > 0 && string(line) == "=======":
			parted = true
		case parted && bytes.HasPrefix(line, []byte(end)):
			return opened
		}
	}
	return 0
}

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
	if s.Base == nil || s.Work == nil || same(s.Base, s.Work) || marked(s.Base, "", "") != 0 {
		return 0
	}
	if own := marked(s.Work, labels.Ours, labels.Theirs); own > 0 {
		return own
	}
	if s.Next == nil || same(s.Base, s.Next) || KindOf(s.Path) == merge.Text {
		return 0
	}
	return marked(s.Work, "", "")
}

// marked is the line of the first whole conflict in a file, or 0. The labels are
// what its first and last marker begin with, behind a space.
func marked(f *tree.File, ours, theirs string) int {
	opened, width, parted, n := 0, 0, false, 0
	for line := range bytes.Lines(f.Data) {
		n++
		line = bytes.TrimRight(line, "\r\n")
		switch run := markerWidth(line); {
		case run == 0:
		case bytes.HasPrefix(line[run:], []byte(" "+ours)) && line[0] == '<':
			opened, width, parted = n, run, false
		case run != width:
		case line[0] == '=' && len(line) == run:
			parted = true
		case parted && line[0] == '>' && bytes.HasPrefix(line[run:], []byte(" "+theirs)):
			return opened
		}
	}
	return 0
}

// markerWidth is the length of the marker that a line begins with, or 0. Markers are
// as wide as they must be, so that no other line looks like one.
func markerWidth(line []byte) int {
	const least = 7
	if len(line) < least || !bytes.ContainsAny(line[:1], "<=>") {
		return 0
	}
	run := len(line) - len(bytes.TrimLeft(line, string(line[:1])))
	if run < least {
		return 0
	}
	return run
}

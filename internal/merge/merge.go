// Package merge joins two changed versions of one file with the version both
// came from. It owns what "both changed it" means for text, Go, go.mod, go.sum
// and YAML.
//
// It knows neither paths nor patterns and does no I/O: the caller says which
// [Kind] of file it hands over. Nothing here keeps state, so every function may
// be called from several goroutines at once.
package merge

import "bytes"

// A Kind says by which rules a file is merged.
type Kind int

// The kinds. A file of any kind that holds a NUL byte is merged as [Binary].
const (
	Text   Kind = iota // line by line
	Go                 // lines; imports, struct fields and element lists as lists
	GoMod              // requirement by requirement
	GoSum              // as a set of lines
	YAML               // lines; where they conflict, key by key
	Binary             // never: one side is taken whole
)

// Labels name the three versions on conflict markers. An empty label leaves
// the marker bare.
type Labels struct{ Ours, Base, Theirs string }

// A Reason is the sort of a conflict, for a caller that branches on it.
type Reason string

// The reasons for a conflict.
const (
	Overlap   Reason = "overlap"   // both sides changed the same or touching lines
	NotBinary Reason = "binary"    // both sides changed a file that isn't text
	Syntax    Reason = "syntax"    // the merged lines no longer parse
	Format    Reason = "format"    // the merged lines can't be brought into gofmt's form
	Duplicate Reason = "duplicate" // the merged file would declare one thing twice
	Checksum  Reason = "checksum"  // the sides disagree on a module's hash
)

// A Conflict is one thing that a person has to decide.
type Conflict struct {
	Reason Reason `json:"reason"`
	// Start and End are the first and the last line of the conflict in
	// [Result.Data], counted from 1 and with the marker lines. Both are 0 where
	// the whole file is meant.
	Start int    `json:"start,omitempty"`
	End   int    `json:"end,omitempty"`
	Why   string `json:"why"`
}

// A Result is what became of the three versions.
type Result struct {
	// Data is the merged file. With conflicts it is a draft in which each place
	// to decide stands between markers, or ours where Marked is false.
	Data []byte
	// Marked reports whether Data has conflict markers.
	Marked bool
	// Conflicts is empty when the merge is clean.
	Conflicts []Conflict
	// Notes tell what a clean merge decided by itself and an owner may want to
	// know, such as which of two versions of a module won.
	Notes []string
}

// Clean reports whether nothing is left to decide.
func (r Result) Clean() bool { return len(r.Conflicts) == 0 }

// Merge joins ours (what the owner made of base) with theirs (what the
// templates now make of it). These hold for every kind, byte for byte:
//
//	Merge(o, a, a) = a
//	Merge(o, o, b) = b
//	Merge(o, a, o) = a
//
// The inputs are not modified, but Data may share memory with one of them.
func Merge(kind Kind, base, ours, theirs []byte, labels Labels) Result {
	switch {
	case bytes.Equal(ours, theirs), bytes.Equal(base, theirs):
		return Result{Data: ours}
	case bytes.Equal(base, ours):
		return Result{Data: theirs}
	}
	if kind == Binary || isBinary(base) || isBinary(ours) || isBinary(theirs) {
		return Result{Data: ours, Conflicts: []Conflict{{
			Reason: NotBinary,
			Why:    "both sides changed a binary file: one of them has to be taken whole",
		}}}
	}
	switch kind {
	case Go:
		return mergeGo(base, ours, theirs, labels)
	case GoMod:
		return mergeGoMod(base, ours, theirs, labels)
	case YAML:
		return mergeYAML(base, ours, theirs, labels)
	case GoSum:
		return mergeGoSum(base, ours, theirs, labels)
	default:
		return newMerge3(base, ours, theirs).render(labels)
	}
}

func isBinary(data []byte) bool { return bytes.IndexByte(data, 0) >= 0 }

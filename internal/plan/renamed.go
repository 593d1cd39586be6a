package plan

import (
	"bytes"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/merge"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// Alike reports whether by their names a file can have become the other by an
// owner's renaming it: in the same folder, with the same extension. A go.mod by
// another name is none, and names that differ only in case are one to many file
// systems.
func Alike(from, to string) bool {
	kind := KindOf(from)
	return path.Dir(from) == path.Dir(to) && ending(from) == ending(to) && fold(from) != fold(to) &&
		kind != merge.GoMod && kind != merge.GoSum
}

const testEnding = "_test.go"

func ending(name string) string {
	if strings.HasSuffix(name, testEnding) {
		return testEnding
	}
	return path.Ext(name)
}

// renamed finds the files of base that the owner renamed: their new paths, by the old
// ones. Nothing is remembered of a renaming. A file at which nothing stands any more
// is taken for one of the owner's if each is for the other the only one that has the
// same bytes, or else the only one that has most of its lines. What is not found
// counts as deleted.
func renamed(base, next, work tree.Tree) map[string]string {
	gone := slices.DeleteFunc(base.Paths(), func(p string) bool { _, ok := work[p]; return ok })
	if len(gone) == 0 {
		return nil
	}
	own := slices.DeleteFunc(work.Paths(), func(p string) bool {
		_, was := base[p]
		_, is := next[p]
		return was || is
	})
	moved := make(map[string]string)
	for _, from := range gone {
		to := match(own, func(to string) likeness { return compared(base, work, from, to) })
		if to != "" && match(gone, func(from string) likeness { return compared(base, work, from, to) }) == from {
			moved[from] = to
		}
	}
	return moved
}

// likeness is how alike two files are.
type likeness int

const (
	other likeness = iota
	similar
	equal
)

// match returns the only one of names that is equal, or of none the only one that is
// similar, or "".
func match(names []string, like func(name string) likeness) string {
	found := make(map[likeness][]string)
	for _, name := range names {
		l := like(name)
		found[l] = append(found[l], name)
	}
	best := found[equal]
	if len(best) == 0 {
		best = found[similar]
	}
	if len(best) != 1 {
		return ""
	}
	return best[0]
}

func compared(base, work tree.Tree, from, to string) likeness {
	was, is := base[from].Data, work[to].Data
	switch {
	case !Alike(from, to) || len(was) == 0 || KindOf(from) == merge.Go && clause(was) != clause(is):
		return other
	case bytes.Equal(was, is):
		return equal
	case bytes.IndexByte(was, 0) < 0 && mostlySame(was, is):
		return similar
	}
	return other
}

// clause is the name of a Go file's package.
func clause(src []byte) string {
	file, err := parser.ParseFile(token.NewFileSet(), "", src, parser.PackageClauseOnly)
	if err != nil {
		return ""
	}
	return file.Name.Name
}

// mostlySame reports whether three of five lines of either text are also the other's,
// whatever their order and the space around them.
func mostlySame(a, b []byte) bool {
	lines := make(map[string]int)
	n, m, common := 0, 0, 0
	for line := range bytes.Lines(a) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines[string(line)]++
			n++
		}
	}
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			m++
			if lines[string(line)] > 0 {
				lines[string(line)]--
				common++
			}
		}
	}
	return common > 0 && 5*common >= 3*max(n, m)
}

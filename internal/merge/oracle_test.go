package merge_test

import (
	"bytes"
	"fmt"
	"go/format"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-d146d9dc/scaffold/internal/merge"
)

// A section is a stretch of a file whose lines are drawn: a list, in which syntax
// may decide what git does not, or text, in which it may not.
type section struct {
	head, tail string
	line       func(i int) string
	list       bool
}

var goSections = []section{
	{"package main\n\nimport (\n", ")\n\n", func(i int) string { return fmt.Sprintf("\t\"example.com/p%d\"\n", i) }, true},
	{"func first() {\n", "}\n\n", func(i int) string { return fmt.Sprintf("\tcall(%d)\n", i%4) }, false},
	{"type App struct {\n", "}\n\n", func(i int) string { return fmt.Sprintf("\tf%d int\n", i) }, true},
	{"func second() {\n\tif true {\n", "\t}\n}\n\n", func(i int) string { return fmt.Sprintf("\t\tcall(%d)\n", i) }, false},
	{"var m = map[string]int{\n", "}\n\n// call is the last.\nfunc call(int) {}\n", func(i int) string { return fmt.Sprintf("\t\"k%d\": %d,\n", i, i) }, true},
}

var yamlSections = []section{
	{"# call: a workflow\nenv:\n", "", func(i int) string { return fmt.Sprintf("  K%d: %d\n", i, i) }, true},
	{"run: |\n  set -e\n", "  exit\n", func(i int) string { return fmt.Sprintf("  call %d\n", i%4) }, false},
	{"more:\n  below:\n    deep: 1\n", "", func(i int) string { return fmt.Sprintf("    D%d: %d\n", i, i) }, true},
	{"last: |\n", "  end\n", func(i int) string { return fmt.Sprintf("  call %d\n", i) }, false},
}

// text matches the drawn lines that are of no list.
var text = regexp.MustCompile(`(?m)^\s*call`)

// edition draws a file and two edits of it. Lines of a list are there once each,
// in order; those of text are as they come.
func edition(t *rapid.T, sections []section) (base, ours, theirs []byte) {
	var files [3]strings.Builder
	for n, s := range sections {
		lines := rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 1, 6, rapid.ID).Draw(t, fmt.Sprint("lines ", n))
		edit := func(label string) []int {
			out := slices.Clone(lines)
			for range rapid.IntRange(0, 2).Draw(t, label) {
				at := rapid.IntRange(0, len(out)).Draw(t, "at")
				drop := rapid.IntRange(0, min(2, len(out)-at)).Draw(t, "drop")
				put := rapid.SliceOfN(rapid.IntRange(0, 19), 0, 2).Draw(t, "put")
				out = slices.Replace(out, at, at+drop, put...)
			}
			return out
		}
		for i, v := range [][]int{lines, edit("ours"), edit("theirs")} {
			if s.list {
				v = slices.Clone(v)
				slices.Sort(v)
				v = slices.Compact(v)
			}
			files[i].WriteString(s.head)
			for _, x := range v {
				files[i].WriteString(s.line(x))
			}
			files[i].WriteString(s.tail)
		}
	}
	return []byte(files[0].String()), []byte(files[1].String()), []byte(files[2].String())
}

// decides checks the law for the kinds with a structure: where git conflicts, a
// clean merge has decided nothing but lists.
func decides(t failer, dir string, kind merge.Kind, base, ours, theirs []byte) (structured bool) {
	got := merge.Merge(kind, base, ours, theirs, labels)
	if !got.Clean() || bytes.Equal(base, ours) || bytes.Equal(base, theirs) || bytes.Equal(ours, theirs) {
		return false
	}
	merged, clean, err := gitMergeFile(dir, base, ours, theirs)
	if err != nil {
		t.Fatalf("git merge-file: %v", err)
	}
	if clean {
		if formatted, err := format.Source(merged); kind == merge.Go && err == nil {
			merged = formatted
		}
		// Syntax may still know better in a list; text it leaves alone.
		if a, b := text.FindAll(got.Data, -1), text.FindAll(merged, -1); len(a) != len(b) {
			t.Fatalf("not what git gives:\n%s\ngit:\n%s", got.Data, merged)
		}
		return false
	}
	for _, hunk := range hunks(string(merged)) {
		if text.MatchString(hunk) {
			t.Fatalf("clean where git conflicts, in no list:\n%s\ngot:\n%s\nbase:\n%s\nours:\n%s\ntheirs:\n%s", hunk, got.Data, base, ours, theirs)
		}
	}
	return true
}

// hunks returns what stands between markers.
func hunks(merged string) []string {
	var all []string
	inside := false
	for line := range strings.Lines(merged) {
		switch {
		case strings.HasPrefix(line, "<<<<<<< "):
			inside, all = true, append(all, "")
		case strings.HasPrefix(line, ">>>>>>> "):
			inside = false
		case inside:
			all[len(all)-1] += line
		}
	}
	return all
}

func TestStructureAgainstGit(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind     merge.Kind
		sections []section
	}{
		"go":   {merge.Go, goSections},
		"yaml": {merge.YAML, yamlSections},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			structured := 0
			rapid.Check(t, func(t *rapid.T) {
				base, ours, theirs := edition(t, tt.sections)
				if tt.kind == merge.Go {
					for _, f := range []*[]byte{&base, &ours, &theirs} {
						formatted, err := format.Source(*f)
						if err != nil {
							t.Fatalf("%v in\n%s", err, *f)
						}
						*f = formatted
					}
				}
				if decides(t, dir, tt.kind, base, ours, theirs) {
					structured++
				}
			})
			if t.Logf("%d merges were clean by structure alone", structured); structured == 0 {
				t.Error("no merge was decided by structure")
			}
		})
	}
}

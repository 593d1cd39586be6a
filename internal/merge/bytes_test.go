package merge_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"pgregory.net/rapid"

	"github.com/seed-d146d9dc/scaffold/internal/merge"
)

// sources are a file of each kind, with lines for the owner and for the templates
// to change that are far from each other: OURS, THEIRS and, between them, ODD.
var sources = map[string]struct {
	kind merge.Kind
	// comment opens one; file has the places.
	comment, file string
}{
	"text":   {merge.Text, "", "OURS\n2\n3\nODD\n5\n6\nTHEIRS\n"},
	"go":     {merge.Go, "// ", "// OURS\n\npackage p\n\nimport \"fmt\"\n\n// ODD\nfunc f() { fmt.Println() }\n\ntype t struct {\n\ta int\n}\n\n// THEIRS\nconst x = 1\n"},
	"go.mod": {merge.GoMod, "// ", "// OURS\nmodule example.com/m\n\n// ODD\ngo 1.26\n\nrequire example.com/a v1.0.0\n\nrequire example.com/THEIRS v1.0.0\n"},
	"yaml":   {merge.YAML, "# ", "# OURS\na: 1\nb: 2\n# ODD\nc: 3\nd: 4\n# THEIRS\ne: 5\n"},
}

// What one side changes, and what neither does, comes out byte for byte; go.mod in
// the form in which the go command writes it, where that can read it.
func TestBytesArePreserved(t *testing.T) {
	t.Parallel()
	plain := func(s string) string { return s }
	odd := func(text string) func(string) string {
		return func(s string) string { return strings.Replace(s, "ODD", text, 1) }
	}
	for name, change := range map[string]func(string) string{
		"plain":               plain,
		"CRLF":                func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"byte order mark":     func(s string) string { return "\ufeff" + s },
		"no final newline":    func(s string) string { return strings.TrimSuffix(s, "\n") },
		"a long line":         odd(strings.Repeat("x", 70_000)),
		"invalid UTF-8":       odd("a\xffb\xc3"),
		"markers":             odd("x\nCOMMENT<<<<<<< mine\nCOMMENT=======\nCOMMENT>>>>>>> theirs"),
		"blanks at line ends": odd("x  \t"),
		"form feed":           odd("x\fy"),
	} {
		for kind, source := range sources {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				file := change(source.file)
				file = strings.ReplaceAll(file, "COMMENT", source.comment)
				ours := strings.Replace(file, "OURS", "mine", 1)
				theirs := strings.Replace(file, "THEIRS", "new", 1)
				want := strings.Replace(ours, "THEIRS", "new", 1)
				if mod, err := modfile.Parse("go.mod", []byte(want), nil); source.kind == merge.GoMod && err == nil {
					data, err := mod.Format()
					if err != nil {
						t.Fatal(err)
					}
					want = string(data)
				}
				got := merge.Merge(source.kind, []byte(file), []byte(ours), []byte(theirs), labels)
				if !got.Clean() || string(got.Data) != want {
					t.Errorf("clean %t, conflicts %v\n got %.300q\nwant %.300q", got.Clean(), got.Conflicts, got.Data, want)
				}
			})
		}
	}
}

// The laws hold for every kind. Who is who makes no difference where lines alone
// decide; entries of a structure are the owner's where both changed one, so there it
// may.
func TestLawsOfEveryKind(t *testing.T) {
	t.Parallel()
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				base, ours, theirs := versions(t)
				if rapid.Bool().Draw(t, "of its kind") {
					base, ours, theirs = editions(t, source.file)
				}
				everyLaw(t, source.kind, base, ours, theirs)
			})
		})
	}
	t.Run("go.sum", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			base, ours, theirs := editions(t, "a v1.0.0 h1:a=\na v1.0.0/go.mod h1:b=\nb v1.0.0 h1:c=\nc v1.0.0 h1:d=\nd v1.0.0 h1:e=\n")
			everyLaw(t, merge.GoSum, base, ours, theirs)
		})
	})
	t.Run("binary", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			base, ours, theirs := versions(t)
			everyLaw(t, merge.Binary, base, ours, theirs)
		})
	})
}

// editions draws a base of a file's lines, and two edits of it: lines that are
// cut, doubled, moved and changed.
func editions(t *rapid.T, file string) (base, ours, theirs []byte) {
	lines := strings.SplitAfter(strings.TrimSuffix(file, "\n"), "\n")
	lines[len(lines)-1] += "\n"
	edit := func(lines []string, who string) []string {
		lines = slices.Clone(lines)
		for range rapid.IntRange(0, 3).Draw(t, who+" edits") {
			if len(lines) == 0 {
				break
			}
			at := rapid.IntRange(0, len(lines)-1).Draw(t, "at")
			switch rapid.IntRange(0, 3).Draw(t, "edit") {
			case 0:
				lines = slices.Delete(lines, at, at+1)
			case 1:
				lines = slices.Insert(lines, at, lines[rapid.IntRange(0, len(lines)-1).Draw(t, "from")])
			case 2:
				lines[at] = strings.TrimSuffix(lines[at], "\n") + who + "\n"
			case 3:
				lines[at] = strings.Replace(lines[at], "1", rapid.SampledFrom([]string{"2", "3"}).Draw(t, "digit"), 1)
			}
		}
		return lines
	}
	from := edit(lines, "base")
	return ended(t, from), ended(t, edit(from, "ours")), ended(t, edit(from, "theirs"))
}

func everyLaw(t failer, kind merge.Kind, o, a, b []byte) {
	for _, law := range []struct {
		name           string
		o, a, b, wants []byte
	}{
		{"merge(o,a,a) = a", o, a, a, a},
		{"merge(o,o,b) = b", o, o, b, b},
		{"merge(o,a,o) = a", o, a, o, a},
	} {
		if got := merge.Merge(kind, law.o, law.a, law.b, labels); !got.Clean() || !bytes.Equal(got.Data, law.wants) {
			t.Fatalf("%s does not hold:\no = %q\na = %q\nb = %q\ngot %q", law.name, law.o, law.a, law.b, got.Data)
		}
	}
	got, mirror := merge.Merge(kind, o, a, b, labels), merge.Merge(kind, o, b, a, labels)
	if kind == merge.GoMod || kind == merge.GoSum || kind != merge.Binary && !merge.Merge(merge.Text, o, a, b, labels).Clean() {
		return
	}
	if got.Clean() != mirror.Clean() && kind != merge.YAML { // which is more careful with what the owner has
		t.Fatalf("clean one way only:\no = %q\na = %q\nb = %q\n%q\n%v\n%q\n%v", o, a, b, got.Data, got.Conflicts, mirror.Data, mirror.Conflicts)
	}
	if got.Clean() && mirror.Clean() && !bytes.Equal(got.Data, mirror.Data) {
		t.Fatalf("not symmetric:\no = %q\na = %q\nb = %q\n%q\n%q", o, a, b, got.Data, mirror.Data)
	}
}

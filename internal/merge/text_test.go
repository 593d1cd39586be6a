package merge_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-d146d9dc/scaffold/internal/merge"
)

var labels = merge.Labels{Ours: "mine", Base: "base", Theirs: "templates"}

func TestText(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name               string
		base, ours, theirs string
		want               string
		conflicts          []merge.Conflict
	}{
		{
			name: "changes apart",
			base: "1\n2\n3\n4\n5\n", ours: "one\n2\n3\n4\n5\n", theirs: "1\n2\n3\n4\nfive\n",
			want: "one\n2\n3\n4\nfive\n",
		},
		{
			name: "the same change",
			base: "1\n2\n3\n", ours: "1\n3\n", theirs: "1\n3\n",
			want: "1\n3\n",
		},
		{
			name: "the same change and one more",
			base: "1\n2\n3\n4\n5\n", ours: "1\nX\n3\n4\n5\n", theirs: "1\nX\n3\n4\nY\n",
			want: "1\nX\n3\n4\nY\n",
		},
		{
			name: "touching changes",
			base: "1\n2\n3\n", ours: "one\n2\n3\n", theirs: "1\ntwo\n3\n",
			want:      "<<<<<<< mine\none\n2\n||||||| base\n1\n2\n=======\n1\ntwo\n>>>>>>> templates\n3\n",
			conflicts: []merge.Conflict{{Reason: merge.Overlap, Start: 1, End: 10, Why: "both sides changed these lines"}},
		},
		{
			name: "two additions at one place",
			base: "1\n2\n", ours: "1\na\n2\n", theirs: "1\nb\n2\n",
			want:      "1\n<<<<<<< mine\na\n||||||| base\n=======\nb\n>>>>>>> templates\n2\n",
			conflicts: []merge.Conflict{{Reason: merge.Overlap, Start: 2, End: 7, Why: "both sides changed these lines"}},
		},
		{
			name: "what both sides share stays outside the markers",
			base: "1\n2\n", ours: "1\nsame\na\nend\n2\n", theirs: "1\nsame\nb\nend\n2\n",
			want:      "1\nsame\n<<<<<<< mine\na\n||||||| base\n=======\nb\n>>>>>>> templates\nend\n2\n",
			conflicts: []merge.Conflict{{Reason: merge.Overlap, Start: 3, End: 8, Why: "both sides changed these lines"}},
		},
		{
			name: "an insertion that could stand either side of a changed line",
			base: "a\nb\na\n", ours: "a\nb\na\nb\na\n", theirs: "a\nb\nz\n",
			want: "a\nb\n<<<<<<< mine\na\nb\na\n||||||| base\na\nb\na\n=======\nz\n>>>>>>> templates\n",
			conflicts: []merge.Conflict{
				{Reason: merge.Overlap, Start: 3, End: 13, Why: "both sides changed these lines"},
			},
		},
		{
			name: "CRLF and byte order mark stay",
			base: "\ufeff1\r\n2\r\n3\r\n4\r\n", ours: "\ufeffone\r\n2\r\n3\r\n4\r\n", theirs: "\ufeff1\r\n2\r\n3\r\nfour\r\n",
			want: "\ufeffone\r\n2\r\n3\r\nfour\r\n",
		},
		{
			name: "markers end as the file's lines do",
			base: "1\r\n", ours: "one\r\n", theirs: "uno\r\n",
			want:      "<<<<<<< mine\r\none\r\n||||||| base\r\n1\r\n=======\r\nuno\r\n>>>>>>> templates\r\n",
			conflicts: []merge.Conflict{{Reason: merge.Overlap, Start: 1, End: 7, Why: "both sides changed these lines"}},
		},
		{
			name: "no final newline",
			base: "1\n2\n3\n4", ours: "one\n2\n3\n4", theirs: "1\n2\n3\nfour",
			want: "one\n2\n3\nfour",
		},
		{
			name: "a final newline on one side only",
			base: "1\n2\n3", ours: "one\n2\n3", theirs: "1\n2\n3\n",
			want: "one\n2\n3\n",
		},
		{
			name: "no final newline in a conflict",
			base: "1", ours: "one", theirs: "uno",
			want:      "<<<<<<< mine\none\n||||||| base\n1\n=======\nuno\n>>>>>>> templates\n",
			conflicts: []merge.Conflict{{Reason: merge.Overlap, Start: 1, End: 7, Why: "both sides changed these lines"}},
		},
		{
			name: "invalid UTF-8",
			base: "\xff\xfe\n2\n3\n", ours: "\xff\xfe\n2\n\xc3\n", theirs: "\x80\n2\n3\n",
			want: "\x80\n2\n\xc3\n",
		},
		{
			name: "markers in the source make longer markers",
			base: "<<<<<<< x\n2\n", ours: "<<<<<<< x\na\n", theirs: "<<<<<<< x\nb\n",
			want:      "<<<<<<< x\n<<<<<<<< mine\na\n|||||||| base\n2\n========\nb\n>>>>>>>> templates\n",
			conflicts: []merge.Conflict{{Reason: merge.Overlap, Start: 2, End: 8, Why: "both sides changed these lines"}},
		},
		{
			name: "both emptied or filled it",
			base: "", ours: "a\n", theirs: "b\n",
			want:      "<<<<<<< mine\na\n||||||| base\n=======\nb\n>>>>>>> templates\n",
			conflicts: []merge.Conflict{{Reason: merge.Overlap, Start: 1, End: 6, Why: "both sides changed these lines"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := merge.Merge(merge.Text, []byte(tt.base), []byte(tt.ours), []byte(tt.theirs), labels)
			if diff := cmp.Diff(tt.want, string(got.Data)); diff != "" {
				t.Errorf("data (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.conflicts, got.Conflicts); diff != "" {
				t.Errorf("conflicts (-want +got):\n%s", diff)
			}
			if got.Marked != (len(tt.conflicts) > 0) {
				t.Errorf("Marked = %v with %d conflicts", got.Marked, len(tt.conflicts))
			}
		})
	}
}

func TestLongLine(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 70_000)
	base := []byte(long + "\n2\n3\n")
	ours := []byte(long + "\n2\nthree\n")
	theirs := []byte(long + "y\n2\n3\n")
	got := merge.Merge(merge.Text, base, ours, theirs, labels)
	if want := long + "y\n2\nthree\n"; !got.Clean() || string(got.Data) != want {
		t.Errorf("clean = %v, %d bytes; want clean and %d bytes", got.Clean(), len(got.Data), len(want))
	}
}

func TestBinary(t *testing.T) {
	t.Parallel()
	base, ours, theirs := []byte("1\x00\n2\n3\n"), []byte("1\x00\n2\n4\n"), []byte("0\x00\n2\n3\n")
	got := merge.Merge(merge.Text, base, ours, theirs, labels)
	if len(got.Conflicts) != 1 || got.Conflicts[0].Reason != merge.NotBinary || got.Marked {
		t.Errorf("got %+v, want one unmarked conflict %q", got, merge.NotBinary)
	}
	if !bytes.Equal(got.Data, ours) {
		t.Errorf("data = %q, want ours", got.Data)
	}
}

// TestHugeChange goes past the size that is compared in full: the outcome may
// only be more careful, never other.
func TestHugeChange(t *testing.T) {
	t.Parallel()
	var base, ours, theirs strings.Builder
	theirs.WriteString("new first line\n")
	for i := range 9_000 {
		fmt.Fprintf(&base, "line %d\n", i)
		fmt.Fprintf(&theirs, "line %d\n", i)
		if i > 100 && i < 8_900 {
			fmt.Fprintf(&ours, "other %d\n", i)
		} else {
			fmt.Fprintf(&ours, "line %d\n", i)
		}
	}
	got := merge.Merge(merge.Text, []byte(base.String()), []byte(ours.String()), []byte(theirs.String()), labels)
	if want := "new first line\n" + ours.String(); !got.Clean() || string(got.Data) != want {
		t.Errorf("clean = %v, equal = %v; want ours with the first line added", got.Clean(), string(got.Data) == want)
	}
}

// versions draws a base and two edits of it over few different lines, so that
// repeated lines and ambiguous places abound.
func versions(t *rapid.T) (base, ours, theirs []byte) {
	alphabet := rapid.SampledFrom([][]string{
		{"a\n", "b\n"},
		{"a\n", "b\n", "c\n", "\n"},
		{"\n", "}\n", "\t}\n", "x := 1\n", "return err\n", "func f() {\n", "if err != nil {\n"},
		{"a\n", "a\r\n", "\ufeffa\n", "\xff\n", "<<<<<<< a\n", "=======\n", ">>>>>>> b\n"},
		strings.SplitAfter("1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18\n19\n20\n", "\n")[:20],
	}).Draw(t, "alphabet")
	anyLine := rapid.SampledFrom(alphabet)
	lines := rapid.SliceOfN(anyLine, 0, 30).Draw(t, "base")
	edit := func(label string) []byte {
		out := append([]string(nil), lines...)
		for range rapid.IntRange(0, 4).Draw(t, label+" edits") {
			at := rapid.IntRange(0, len(out)).Draw(t, "at")
			drop := rapid.IntRange(0, min(3, len(out)-at)).Draw(t, "drop")
			put := rapid.SliceOfN(anyLine, 0, 3).Draw(t, "put")
			out = append(out[:at:at], append(put, out[at+drop:]...)...)
		}
		return ended(t, out)
	}
	return ended(t, lines), edit("ours"), edit("theirs")
}

// ended joins lines, at times without the final newline.
func ended(t *rapid.T, lines []string) []byte {
	text := strings.Join(lines, "")
	if rapid.IntRange(0, 9).Draw(t, "end") == 0 {
		text = strings.TrimSuffix(text, "\n")
	}
	return []byte(text)
}

func TestTextLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base, ours, theirs := versions(t)
		checkLaws(t, merge.Text, base, ours, theirs)
	})
}

type failer interface{ Fatalf(string, ...any) }

// checkLaws checks what holds for every kind.
func checkLaws(t failer, kind merge.Kind, o, a, b []byte) {
	is := func(law string, got merge.Result, want []byte) {
		if !got.Clean() || !bytes.Equal(got.Data, want) {
			t.Fatalf("%s does not hold:\no = %q\na = %q\nb = %q\ngot %q, conflicts %v", law, o, a, b, got.Data, got.Conflicts)
		}
	}
	is("merge(o,a,a) = a", merge.Merge(kind, o, a, a, labels), a)
	is("merge(o,o,b) = b", merge.Merge(kind, o, o, b, labels), b)
	is("merge(o,a,o) = a", merge.Merge(kind, o, a, o, labels), a)

	got, mirror := merge.Merge(kind, o, a, b, labels), merge.Merge(kind, o, b, a, labels)
	if kind == merge.Text && got.Clean() != mirror.Clean() {
		t.Fatalf("clean one way only:\no = %q\na = %q\nb = %q", o, a, b)
	}
	if kind == merge.Text && got.Clean() && !bytes.Equal(got.Data, mirror.Data) {
		t.Fatalf("not symmetric:\no = %q\na = %q\nb = %q\n%q\n%q", o, a, b, got.Data, mirror.Data)
	}
	checkConflicts(t, kind, got, o, a, b)
}

// checkConflicts checks that the result's conflicts are where it says, and that
// no line that a side brought in is missing.
func checkConflicts(t failer, kind merge.Kind, got merge.Result, o, a, b []byte) {
	split := func(data []byte) []string {
		lines := strings.Split(strings.ReplaceAll(string(data), "\r", ""), "\n")
		if kind != merge.Text { // gofmt moves columns, and an import may come into brackets
			for i, l := range lines {
				lines[i] = strings.TrimPrefix(strings.Join(strings.Fields(l), " "), "import ")
			}
		}
		return lines
	}
	lines, old := split(got.Data), split(o)
	raw := bytes.Split(got.Data, []byte("\n"))
	for _, c := range got.Conflicts {
		if c.Why == "" || c.Reason == "" {
			t.Fatalf("a conflict without a reason: %+v", c)
		}
		if !got.Marked {
			continue
		}
		if c.Start < 1 || c.End > len(raw) || raw[c.Start-1][0] != '<' || raw[c.End-1][0] != '>' {
			t.Fatalf("%+v does not point at markers in\n%s", c, got.Data)
		}
	}
	if kind == merge.GoMod || kind == merge.GoSum || (!got.Clean() && !got.Marked) {
		return // go.mod's lines are rewritten, or there is no draft
	}
	for _, side := range [][]byte{a, b} {
		for _, l := range split(side) {
			if kind == merge.Go && (strings.HasSuffix(l, "{}") || strings.HasSuffix(l, "}}")) {
				continue // the list was empty, or on one line, and is not any more
			}
			if !slices.Contains(old, l) && !slices.Contains(lines, l) {
				t.Fatalf("line %q is lost:\no = %q\na = %q\nb = %q\ngot %q", l, o, a, b, got.Data)
			}
		}
	}
}

// TestTextAgainstGit is the law that a merge is never clean where git's
// conflicts; and where both are clean, they agree.
func TestTextAgainstGit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		base, ours, theirs := versions(t)
		againstGit(t, dir, base, ours, theirs)
	})
}

func againstGit(t failer, dir string, base, ours, theirs []byte) {
	got := merge.Merge(merge.Text, base, ours, theirs, labels)
	if !got.Clean() {
		return
	}
	if bytes.Equal(base, ours) || bytes.Equal(base, theirs) || bytes.Equal(ours, theirs) {
		return // the laws decide, also for what git refuses as binary
	}
	want, clean, err := gitMergeFile(dir, base, ours, theirs)
	if err != nil {
		t.Fatalf("git merge-file: %v", err)
	}
	if !clean {
		t.Fatalf("clean where git conflicts:\no = %q\na = %q\nb = %q\ngot %q\ngit %q", base, ours, theirs, got.Data, want)
	}
	if !bytes.Equal(got.Data, want) {
		t.Fatalf("not what git gives:\no = %q\na = %q\nb = %q\ngot %q\ngit %q", base, ours, theirs, got.Data, want)
	}
}

// gitMergeFile runs the oracle. It reports a file that git takes for binary as
// not clean.
func gitMergeFile(dir string, base, ours, theirs []byte) (merged []byte, clean bool, err error) {
	names := []string{"ours", "base", "theirs"}
	args := []string{"merge-file", "-p"}
	for i, data := range [][]byte{ours, base, theirs} {
		name := filepath.Join(dir, names[i])
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return nil, false, err
		}
		args = append(args, name)
	}
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull)
	merged, err = cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return merged, false, nil
	}
	return merged, err == nil, err
}

// TestCommonLines is a file in which git's diff passes over lines that occur
// often: what is left is one change, and another one inside conflicts.
func TestCommonLines(t *testing.T) {
	t.Parallel()
	numbered := func(name string, n int, end string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%s%d\n%s", name, i, end)
		}
		return b.String()
	}
	head, brace := numbered("head", 10, "}\n"), "}\n"
	base := head + numbered("u", 12, "") + brace + brace + numbered("v", 12, "") + "end\n"
	ours := head + numbered("x", 12, "") + brace + brace + numbered("y", 12, "") + "end\n"
	theirs := head + numbered("u", 12, "") + brace + "new\n" + brace + numbered("v", 12, "") + "end\n"
	_, clean, err := gitMergeFile(t.TempDir(), []byte(base), []byte(ours), []byte(theirs))
	if err != nil || clean {
		t.Fatalf("git: clean = %v, error %v; the case is to be one where it conflicts", clean, err)
	}
	got := merge.Merge(merge.Text, []byte(base), []byte(ours), []byte(theirs), labels)
	if got.Clean() {
		t.Errorf("clean where git conflicts:\n%s", got.Data)
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("1\n2\n3\n"), []byte("one\n2\n3\n"), []byte("1\n2\nthree\n"))
	f.Add([]byte("a\nb\na\n"), []byte("a\nb\na\nb\na\n"), []byte("a\nb\nz\n"))
	f.Add([]byte("\ufeff1\r\n2\r\n"), []byte("\ufeff1\r\n2"), []byte("\ufeff0\r\n2\r\n"))
	f.Add([]byte("<<<<<<< x\n\xff\n"), []byte("<<<<<<< x\n"), []byte(">>>>>>>> x\n\xff\n\n"))
	f.Add([]byte(""), []byte("\n"), []byte("\x00"))
	f.Fuzz(func(t *testing.T, base, ours, theirs []byte) {
		checkLaws(t, merge.Text, base, ours, theirs)
		againstGit(t, t.TempDir(), base, ours, theirs)
	})
}

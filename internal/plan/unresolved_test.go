package plan_test

import (
	"strings"
	"testing"

	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

func TestUnresolved(t *testing.T) {
	t.Parallel()
	const open = "<<<<<<< yours\nmine\n=======\ntheirs\n>>>>>>> scaffold\n"
	for _, tt := range []struct {
		name, base, next, work string
		want                   int
	}{
		{"markers that are not due a merge", "1\n", "1\n", open, 1},
		{"markers", "1\n", "2\n", "1\n" + open, 2},
		{"markers with the base between", "1\n", "2\n", "<<<<<<< a\n||||||| b\n=======\n>>>>>>> c\n", 1},
		{"lines that end as on Windows", "1\n", "2\n", "<<<<<<< a\r\n=======\r\n>>>>>>> c\r\n", 1},
		{"others', not due a merge", "1\n", "1\n", "<<<<<<< a\n=======\n>>>>>>> c\n", 0},
		{"in the template", open, "2\n", "3\n" + open, 0},
		{"no end", "1\n", "2\n", "<<<<<<< a\n=======\n", 0},
		{"no start", "1\n", "2\n", "=======\n>>>>>>> c\n", 0},
		{"a title", "1\n", "2\n", "Title\n=======\n", 0},
		{"wide ones", "1\n", "1\n", "<<<<<<<<<<< yours\nTitle\n=======\n===========\n>>>>>>> scaffold\n>>>>>>>>>>> scaffold\n", 1},
		{"ends of another width", "1\n", "1\n", "<<<<<<<<<<< yours\n=======\n>>>>>>> scaffold\n", 0},
		{"too narrow", "1\n", "2\n", "<<<<<< yours\n======\n>>>>>> scaffold\n", 0},
		{"an edit", "1\n", "2\n", "3\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := plan.Make(tree.Tree{"f.yaml": file(tt.base)}, tree.Tree{"f.yaml": file(tt.next)}, tree.Tree{"f.yaml": file(tt.work)})
			s, _ := p.Step("f.yaml")
			if got := s.Unresolved(); got != tt.want {
				t.Errorf("line %d, want %d", got, tt.want)
			}
		})
	}
}

// The markers that a plan draws are found again, whatever lines it has to draw them
// between.
func TestUnresolvedAsDrawn(t *testing.T) {
	t.Parallel()
	const heading = "Orders\n==========\n\n"
	base, next, work := tree.Tree{"README.md": file(heading + "1\n")}, tree.Tree{"README.md": file(heading + "2\n")}, tree.Tree{"README.md": file(heading + "3\n")}
	after := carryOut(plan.Make(base, next, work).Resolve(plan.Markers), work)
	s, _ := plan.Make(next, next, after).Step("README.md")
	if got := s.Unresolved(); got != 4 {
		t.Errorf("line %d, want 4:\n%s", got, after["README.md"].Data)
	}
}

// A README may speak of how conflicts look.
func TestUnresolvedInText(t *testing.T) {
	t.Parallel()
	for work, want := range map[string]int{
		"1\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n":                                           0,
		"1\n<<<<<<< yours\na\n||||||| last written by scaffold\n=======\nb\n>>>>>>> scaffold\n": 2,
	} {
		p := plan.Make(tree.Tree{"README.md": file("1\n")}, tree.Tree{"README.md": file("0\n1\n")}, tree.Tree{"README.md": file(work)})
		s, _ := p.Step("README.md")
		if got := s.Unresolved(); got != want {
			t.Errorf("%q: line %d, want %d", work, got, want)
		}
	}
}

// An owner whose editor writes CRLF is merged line by line all the same, and
// keeps it.
func TestLineEndsStay(t *testing.T) {
	t.Parallel()
	for path, text := range map[string][3]string{ // base, next, what the owner added at the end
		"main.go":      {"package main\n\nfunc a() {}\n\nfunc b() {}\n", "package main\n\nfunc new() {}\n\nfunc a() {}\n\nfunc b() {}\n", "\nfunc mine() {}\n"},
		"README.md":    {"1\n2\n3\n", "0\n1\n2\n3\n", "4\n"},
		"compose.yaml": {"services:\n  a:\n    image: a\n  b:\n    image: b\n", "services:\n  a:\n    image: a2\n  b:\n    image: b\n", "  c:\n    image: c\n"},
		"go.mod":       {"module x\n\ngo 1.26\n\nrequire a.b/c v1.0.0\n", "module x\n\ngo 1.26\n\nrequire a.b/c v1.1.0\n", "\nrequire d.e/f v1.0.0\n"},
		"go.sum":       {"a v1 h1:x=\nb v1 h1:x=\n", "a v1 h1:x=\nb v1 h1:x=\nc v1 h1:x=\n", "d v1 h1:x=\n"},
	} {
		windows := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
		base, next, own := text[0], text[1], text[0]+text[2]
		p := plan.Make(tree.Tree{path: file(base)}, tree.Tree{path: file(next)}, tree.Tree{path: file(windows(own))})
		plain := plan.Make(tree.Tree{path: file(base)}, tree.Tree{path: file(next)}, tree.Tree{path: file(own)})
		got, _ := p.Step(path)
		want, _ := plain.Step(path)
		if want.Action != plan.Merge || got.Action != want.Action || string(got.After.Data) != windows(string(want.After.Data)) {
			t.Errorf("%s: %s %q; want %s %q", path, got.Action, got.After.Data, want.Action, windows(string(want.After.Data)))
		}
	}
}

// A checkout with eol=crlf is no edit: what goes is deleted, what is new arrives in
// the same line ends, and what is as before has no step.
func TestLineEndsAreNoEdit(t *testing.T) {
	t.Parallel()
	const base, windows = "1\n2\n", "1\r\n2\r\n"
	for _, tt := range []struct {
		name       string
		base, next string
		work       tree.File
		action     plan.Action
		want       string
	}{
		{"as before", base, base, file(windows), "", ""},
		{"goes", base, "", file(windows), plan.Delete, ""},
		{"changes", base, "1\n3\n", file(windows), plan.Update, "1\r\n3\r\n"},
		{"is next already", "0\n", base, file(windows), plan.Settled, windows},
		{"came otherwise", "", base, file(windows), plan.Settled, windows},
		{"executable too", base, base, tree.File{Data: []byte(windows), Exec: true}, plan.Keep, windows},
		{"some lines", base, "", file("1\r\n2\n"), plan.Conflict, "1\r\n2\n"},
		{"CR in the template", "1\r\n", "1\r\n2\r\n", file("1\r\n"), plan.Update, windows},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			whole := func(text string) tree.Tree {
				if text == "" {
					return tree.Tree{}
				}
				return tree.Tree{"a.txt": file(text)}
			}
			p := plan.Make(whole(tt.base), whole(tt.next), tree.Tree{"a.txt": tt.work})
			s, ok := p.Step("a.txt")
			if ok != (tt.action != "") || s.Action != tt.action {
				t.Fatalf("%q:\n%s", s.Action, show(p))
			}
			if s.After != nil && string(s.After.Data) != tt.want || s.After == nil && tt.want != "" {
				t.Errorf("%v, want %q", s.After, tt.want)
			}
		})
	}
}

package plan_test

import (
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
		{"markers", "1\n", "2\n", "1\n" + open, 2},
		{"markers with the base between", "1\n", "2\n", "<<<<<<< a\n||||||| b\n=======\n>>>>>>> c\n", 1},
		{"lines that end as on Windows", "1\n", "2\n", "<<<<<<< a\r\n=======\r\n>>>>>>> c\r\n", 1},
		{"not due a merge", "1\n", "1\n", open, 0},
		{"in the template", open, "2\n", "3\n" + open, 0},
		{"no end", "1\n", "2\n", "<<<<<<< a\n=======\n", 0},
		{"no start", "1\n", "2\n", "=======\n>>>>>>> c\n", 0},
		{"a title", "1\n", "2\n", "Title\n=======\n", 0},
		{"an edit", "1\n", "2\n", "3\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := plan.Make(tree.Tree{"f": file(tt.base)}, tree.Tree{"f": file(tt.next)}, tree.Tree{"f": file(tt.work)})
			s, _ := p.Step("f")
			if got := s.Unresolved(); got != tt.want {
				t.Errorf("line %d, want %d", got, tt.want)
			}
		})
	}
}

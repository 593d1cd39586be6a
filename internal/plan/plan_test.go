package plan_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/seed-d146d9dc/scaffold/internal/merge"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// A scenario is a txtar file: trees base/, next/ and work/, the tree want/ that
// stands after the plan is carried out, and the plan's steps. Before the first
// file, a line "exec" names files that are executable and "resolve" the policy
// for conflicts, "needed" files that can't be left out; any other line says what the scenario is about.
type scenario struct {
	base, next, work, want tree.Tree
	steps                  string
	policy                 plan.Policy
	needed                 []string
}

func readScenario(t *testing.T, name string) scenario {
	t.Helper()
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	s := scenario{base: tree.Tree{}, next: tree.Tree{}, work: tree.Tree{}, want: tree.Tree{}}
	trees := map[string]tree.Tree{"base": s.base, "next": s.next, "work": s.work, "want": s.want}
	for _, f := range archive.Files {
		if f.Name == "steps" {
			s.steps = string(f.Data)
			continue
		}
		section, path, _ := strings.Cut(f.Name, "/")
		if trees[section] == nil || path == "" {
			t.Fatalf("%s: unknown section %q", name, f.Name)
		}
		trees[section][path] = tree.File{Data: f.Data}
	}
	for line := range strings.Lines(string(archive.Comment)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "resolve":
			s.policy = plan.Policy(words[1])
		case words[0] == "needed":
			s.needed = words[1:]
		case words[0] == "exec":
			for _, file := range words[1:] {
				section, path, _ := strings.Cut(file, "/")
				f, ok := trees[section][path]
				if !ok {
					t.Fatalf("%s: exec: no file %q", name, file)
				}
				f.Exec = true
				trees[section][path] = f
			}
		}
	}
	return s
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scenarios, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			s := readScenario(t, file)
			p := plan.Make(s.base, s.next, s.work, s.needed...)
			if s.policy != "" {
				p = p.Resolve(s.policy)
			}
			if diff := cmp.Diff(s.steps, show(p)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			for _, c := range p.Changes() {
				if c.Action == plan.Keep || c.Action == plan.LeftOut || c.Action == plan.Settled || c.Action == plan.Conflict {
					t.Errorf("%s is among the changes, but its action is %q", c.Path, c.Action)
				}
			}
			got := carryOut(p, s.work)
			if diff := cmp.Diff(s.want, got); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			if len(p.Conflicts()) > 0 {
				return
			}
			// What was written becomes the base: a second run writes nothing.
			again := plan.Make(s.next, s.next, got)
			if n := len(again.Changes()) + len(again.Conflicts()); n > 0 {
				t.Errorf("a second run has %d changes or conflicts:\n%s", n, show(again))
			}
		})
	}
}

// show writes the steps as scenarios hold them, one a line.
func show(p plan.Plan) string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%s %s: %s", s.Action, s.Path, s.Why)
		if s.Conflict != nil {
			fmt.Fprintf(&b, " (%s:", s.Conflict.Reason)
			for _, c := range s.Conflict.Choices {
				fmt.Fprintf(&b, " %s", c)
			}
			b.WriteString(")")
		}
		b.WriteString("\n")
		for _, n := range s.Notes {
			fmt.Fprintf(&b, "\t%s\n", n)
		}
	}
	return b.String()
}

// carryOut returns the tree after the plan's changes.
func carryOut(p plan.Plan, work tree.Tree) tree.Tree {
	after := work.Clone()
	for _, s := range p.Changes() {
		if s.After == nil {
			delete(after, s.Path)
		} else {
			after[s.Path] = *s.After
		}
	}
	return after
}

func file(text string) tree.File { return tree.File{Data: []byte(text)} }

func TestBinary(t *testing.T) {
	t.Parallel()
	p := plan.Make(
		tree.Tree{"logo.png": file("\x00")},
		tree.Tree{"logo.png": file("\x00n")},
		tree.Tree{"logo.png": file("\x00w")},
	)
	want := "conflict logo.png: you and its template changed it, and it is not text (binary: mine theirs)\n"
	if diff := cmp.Diff(want, show(p)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestResolvePath(t *testing.T) {
	t.Parallel()
	base := tree.Tree{"a": file("1\n"), "b": file("1\n"), "c": file("1\n")}
	next := tree.Tree{"a": file("2\n"), "b": file("2\n")}
	work := tree.Tree{"a": file("3\n"), "b": file("3\n"), "c": file("3\n")}
	p := plan.Make(base, next, work)

	q, err := p.ResolvePath("a", plan.Theirs)
	if err != nil {
		t.Fatal(err)
	}
	if got := carryOut(q, work); string(got["a"].Data) != "2\n" || string(got["b"].Data) != "3\n" {
		t.Errorf("a = %q, b = %q; want theirs and mine", got["a"].Data, got["b"].Data)
	}
	if n := len(q.Conflicts()); n != 2 {
		t.Errorf("%d conflicts left, want 2", n)
	}
	if n := len(p.Conflicts()); n != 3 {
		t.Errorf("the plan itself now has %d conflicts, want 3", n)
	}
	for path, policy := range map[string]plan.Policy{"a": plan.Mine, "c": plan.Markers, "nowhere": plan.Mine} {
		if _, err := q.ResolvePath(path, policy); err == nil {
			t.Errorf("ResolvePath(%q, %q): no error", path, policy)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	p := plan.Make(
		tree.Tree{"a": file("secret 1\n")},
		tree.Tree{"a": file("secret 2\n"), "b": file("secret 4\n")},
		tree.Tree{"a": file("secret 3\n")},
	)
	got, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "complete": false,
  "summary": {
    "create": 1,
    "update": 0,
    "merge": 0,
    "delete": 0,
    "keep": 0,
    "left_out": 0,
    "settled": 0,
    "conflicts": 1
  },
  "steps": [
    {
      "path": "a",
      "action": "conflict",
      "why": "you and its template changed the same lines",
      "conflict": {
        "reason": "overlap",
        "choices": [
          "mine",
          "theirs",
          "markers"
        ],
        "places": [
          {
            "reason": "overlap",
            "start": 1,
            "end": 7,
            "why": "both sides changed these lines"
          }
        ]
      }
    },
    {
      "path": "b",
      "action": "create",
      "why": "new"
    }
  ]
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	empty, err := json.Marshal(plan.Plan{})
	if err != nil || !strings.Contains(string(empty), `"steps":[]`) {
		t.Errorf("an empty plan is %s, error %v; want an empty list of steps", empty, err)
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]merge.Kind{
		"go.mod": merge.GoMod, "tools/go.sum": merge.GoSum, "cmd/orders/app.go": merge.Go,
		".github/workflows/ci.yml": merge.YAML, "compose.yaml": merge.YAML,
		"Makefile": merge.Text, "ago.mod": merge.Text, "x.golden": merge.Text,
	} {
		if got := plan.KindOf(path); got != want {
			t.Errorf("KindOf(%q) = %v, want %v", path, got, want)
		}
	}
}

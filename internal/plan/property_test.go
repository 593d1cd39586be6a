package plan_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// TestNothingIsLost draws what a simulated owner did to a service, and what
// newer templates say, and counts: each line that the owner wrote is still in
// its file or the file is a listed conflict, and what the owner deleted, made or
// marked executable stays so.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base := drawTree(t)
		next := editTree(t, base, "template")
		work := editTree(t, base, "owner")
		p := plan.Make(base, next, work)

		after := carryOut(p, work)
		kept, listed := 0, 0
		for _, path := range work.Paths() {
			s, _ := p.Step(path)
			for line := range strings.Lines(string(work[path].Data)) {
				if !strings.HasPrefix(line, "owner") {
					continue
				}
				switch {
				case s.Action == plan.Conflict:
					listed++
				case slices.Contains(strings.SplitAfter(string(after[path].Data), "\n"), line):
					kept++
				default:
					t.Fatalf("%s: line %q is gone without a conflict:\n%s", path, line, show(p))
				}
			}
		}
		if want := countLines(work, "owner"); kept+listed != want {
			t.Fatalf("of %d lines %d are kept and %d in conflicts", want, kept, listed)
		}
		for path := range base {
			if _, ok := work[path]; ok {
				continue
			}
			if _, ok := after[path]; ok {
				t.Fatalf("%s: deleted by the owner, and back again", path)
			}
			if _, ok := p.Step(path); !ok {
				t.Fatalf("%s: deleted by the owner, and not told", path)
			}
		}
		for path, f := range work {
			s, _ := p.Step(path)
			old, ok := base[cmp.Or(s.From, path)]
			if (!ok || f.Exec != old.Exec) && s.Action != plan.Conflict && after[path].Exec != f.Exec {
				t.Fatalf("%s: the owner's executable bit is gone", path)
			}
		}
		checkTheirs(t, p, next, after)
		checkDecided(t, p, next, work)
	})
}

// checkTheirs is the other half: what the templates say arrives, too.
func checkTheirs(t *rapid.T, p plan.Plan, next, after tree.Tree) {
	for _, path := range next.Paths() {
		s, _ := p.Step(path)
		if s.Action == plan.Conflict || s.Work == nil && s.Base != nil {
			continue
		}
		at := cmp.Or(s.Path, path)
		for line := range strings.Lines(string(next[path].Data)) {
			if strings.HasPrefix(line, "template") && !slices.Contains(strings.SplitAfter(string(after[at].Data), "\n"), line) {
				t.Fatalf("%s: line %q of the template did not arrive:\n%s", path, line, show(p))
			}
		}
	}
}

// checkDecided decides every conflict each way.
func checkDecided(t *rapid.T, p plan.Plan, next, work tree.Tree) {
	before := show(p)
	for _, policy := range []plan.Policy{plan.Mine, plan.Theirs, plan.Markers} {
		q := p.Resolve(policy)
		after := carryOut(q, work)
		for _, s := range p.Conflicts() {
			r, _ := q.Step(s.Path)
			if r.Action == plan.Conflict {
				if slices.Contains(s.Conflict.Choices, policy) {
					t.Fatalf("%s: %q did not decide it", s.Path, policy)
				}
				continue
			}
			got, there := after[s.Path]
			var want tree.File
			var ok bool
			switch policy {
			case plan.Mine:
				want, ok = work[s.Path]
			case plan.Theirs:
				want, ok = next[cmp.Or(s.From, s.Path)]
			case plan.Markers:
				want, ok = got, strings.Contains(string(got.Data), "<<<<<<<")
			}
			if there != ok || !got.Equal(want) {
				t.Fatalf("%s: %q left %q, want %q", s.Path, policy, got.Data, want.Data)
			}
		}
	}
	if show(p) != before {
		t.Fatal("deciding changed the plan that it was asked of")
	}
}

func countLines(files tree.Tree, prefix string) int {
	n := 0
	for _, f := range files {
		for line := range strings.Lines(string(f.Data)) {
			if strings.HasPrefix(line, prefix) {
				n++
			}
		}
	}
	return n
}

func drawTree(t *rapid.T) tree.Tree {
	out := tree.Tree{}
	for i := range rapid.IntRange(0, 5).Draw(t, "files") {
		var b strings.Builder
		for j := range rapid.IntRange(0, 12).Draw(t, "lines") {
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				b.WriteString("}\n")
			} else {
				fmt.Fprintf(&b, "base %d\n", j)
			}
		}
		out[fmt.Sprintf("file%d.txt", i)] = tree.File{Data: []byte(b.String()), Exec: rapid.Bool().Draw(t, "exec")}
	}
	return out
}

// editTree changes a tree as who would: edits lines, deletes, renames and adds
// files, switches the executable bit. Each line that it writes starts with who
// and occurs once.
func editTree(t *rapid.T, from tree.Tree, who string) tree.Tree {
	out := from.Clone()
	serial := 0
	fresh := func() string { serial++; return fmt.Sprintf("%s %d\n", who, serial) }
	for range rapid.IntRange(0, 6).Draw(t, who+" edits") {
		paths := out.Paths()
		if len(paths) == 0 {
			break
		}
		path := rapid.SampledFrom(paths).Draw(t, "path")
		f := out[path]
		switch rapid.IntRange(0, 9).Draw(t, "edit") {
		case 0:
			delete(out, path)
		case 1:
			delete(out, path)
			out[rapid.SampledFrom([]string{"renamed.txt", "FILE0.txt", "file1.txt/x.txt"}).Draw(t, "to")] = f
		case 2:
			out["new.txt"] = file(fresh())
		case 3:
			f.Exec = !f.Exec
			out[path] = f
		case 4: // both may have it
			out["shared.txt"] = tree.File{Data: []byte("shared\n"), Exec: rapid.Bool().Draw(t, "shared exec")}
		default:
			lines := strings.SplitAfter(string(f.Data), "\n")
			at := rapid.IntRange(0, len(lines)-1).Draw(t, "at")
			drop := rapid.IntRange(0, min(2, len(lines)-1-at)).Draw(t, "drop")
			f.Data = []byte(strings.Join(slices.Concat(lines[:at], []string{fresh()}, lines[at+drop:]), ""))
			out[path] = f
		}
	}
	return out
}

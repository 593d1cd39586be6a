package cli

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/record"
	"github.com/seed-d146d9dc/scaffold/templates"
)

// For any sequence of commands on a service that no one edited, the result is
// what new makes of the final choice, byte for byte. A second run of each writes
// nothing, and undo restores what stood there before it.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	a := newApp(templates.FS, nil, io.Discard, io.Discard, os.Getenv)
	c, err := a.catalog()
	if err != nil {
		t.Fatal(err)
	}
	ran := make(map[string]int)
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(top, "")
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		q := &sequence{t: rt, a: a, c: c, root: filepath.Join(dir, "orders"), ran: ran}
		q.new()
		for range rapid.IntRange(1, 4).Draw(rt, "commands") {
			q.next()
		}
		if q.older() {
			q.command("update")
		}
		m := q.manifest()
		q.root = filepath.Join(dir, "twin")
		args := []string{"new", m.Name, "--module", m.Module, "--no-git", "--with", none}
		if len(m.Patterns) > 0 {
			args[len(args)-1] = strings.Join(m.Patterns, ",")
		}
		for name, value := range m.Options {
			args = append(args, "--set", name+"="+value)
		}
		q.run(args...)
		if diff := cmp.Diff(q.files(), filesIn(rt, filepath.Join(dir, "orders"))); diff != "" {
			rt.Fatalf("not what new makes (-new +sequence):\n%s", diff)
		}
	})
	t.Logf("commands that were run: %v", ran)
}

// A sequence is of commands on one service.
type sequence struct {
	t    *rapid.T
	a    *app
	c    *catalog.Catalog
	root string
	ran  map[string]int
}

func (q *sequence) run(args ...string) {
	if code := q.a.run(q.t.Context(), append(args, "--dir", q.root)); code != exitDone {
		q.t.Fatalf("%v: exit code %d", args, code)
	}
}

func filesIn(t *rapid.T, dir string) map[string]string {
	files, err := below(dir)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func (q *sequence) files() map[string]string { return filesIn(q.t, q.root) }

func (q *sequence) manifest() record.Manifest {
	s, err := q.a.open(q.t.Context(), q.root)
	if err != nil {
		q.t.Fatal(err)
	}
	return s.manifest
}

func (q *sequence) older() bool { return q.manifest().Packs[builtin] != q.a.version }

func (q *sequence) names() []string {
	var names []string
	for _, p := range q.c.Patterns {
		names = append(names, p.Name)
	}
	return names
}

// new makes the service, of these or of older templates.
func (q *sequence) new() {
	t := q.t
	maker := q.a
	if rapid.IntRange(0, 3).Draw(t, "made by an older scaffold") == 0 {
		old, _ := aged(t)
		maker = newApp(old, nil, io.Discard, io.Discard, os.Getenv)
		maker.version = "v0.0.3"
	}
	with := none
	if had := rapid.SliceOfNDistinct(rapid.SampledFrom(q.names()), 0, 3, rapid.ID).Draw(t, "new"); len(had) > 0 {
		with = strings.Join(had, ",")
	}
	if code := maker.run(t.Context(), []string{"new", "orders", "--no-git", "--dir", q.root, "--with", with}); code != exitDone {
		t.Fatalf("new: exit code %d", code)
	}
}

// next draws a command and runs it.
func (q *sequence) next() {
	t := q.t
	if q.older() {
		q.command("update") // or the others would ask for it
		return
	}
	m := q.manifest()
	on, _, err := q.c.Resolve(m.Patterns, nil)
	if err != nil {
		t.Fatal(err)
	}
	switch rapid.IntRange(0, 3).Draw(t, "command") {
	case 0:
		name := rapid.SampledFrom(q.names()).Draw(t, "add")
		before := q.files()
		q.command("add", name)
		if !on.Has(name) && slices.Contains(q.manifest().Patterns, name) && rapid.Bool().Draw(t, "and remove") {
			q.command("remove", name)
			if q.manifest().Patterns == nil && len(m.Patterns) > 0 || !slices.Equal(q.manifest().Patterns, m.Patterns) {
				return // the removal was undone
			}
			if diff := cmp.Diff(before, q.files()); diff != "" {
				t.Fatalf("add and remove of %s (-before +after):\n%s", name, diff)
			}
		}
	case 1:
		if free := removable(q.c, m); len(free) > 0 {
			q.command("remove", rapid.SampledFrom(free).Draw(t, "remove"))
		}
	case 2:
		for _, o := range q.c.Options {
			if on.Has(o.Pattern) {
				q.command("set", o.Name+"="+rapid.SampledFrom(o.ValueNames()).Draw(t, o.Name))
			}
		}
	case 3:
		q.edit(m)
		q.command("apply")
	}
}

// edit makes scaffold.yaml say something else, as its owner may.
func (q *sequence) edit(m record.Manifest) {
	t := q.t
	m.Patterns = rapid.SliceOfNDistinct(rapid.SampledFrom(q.names()), 0, 4, rapid.ID).Draw(t, "patterns")
	m.Options = nil
	on, _, err := q.c.Resolve(m.Patterns, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range q.c.Options {
		if on.Has(o.Pattern) && rapid.Bool().Draw(t, "with "+o.Name) {
			m.Options = map[string]string{o.Name: rapid.SampledFrom(o.ValueNames()).Draw(t, o.Name)}
		}
	}
	switch rapid.IntRange(0, 5).Draw(t, "renamed") {
	case 0:
		m.Name = rapid.SampledFrom([]string{"orders", "mail"}).Draw(t, "name")
	case 1:
		m.Module = rapid.SampledFrom([]string{"example.com/orders", "shop.example/mail"}).Draw(t, "module")
	}
	name := filepath.Join(q.root, record.ManifestFile)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if text, err = m.Update(text); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// command runs a command, and once more. At times it is undone.
func (q *sequence) command(args ...string) {
	t := q.t
	before := q.files()
	q.run(args...)
	q.ran[args[0]]++
	after := q.files()
	q.run(args...)
	if diff := cmp.Diff(after, q.files()); diff != "" {
		t.Fatalf("a second %v writes (-first +second):\n%s", args, diff)
	}
	if maps.Equal(before, after) || rapid.IntRange(0, 3).Draw(t, "undo") > 0 {
		return
	}
	q.run("undo")
	q.ran["undo"]++
	if diff := cmp.Diff(before, q.files()); diff != "" {
		t.Fatalf("%v and undo (-before +after):\n%s", args, diff)
	}
	if code := q.a.run(t.Context(), []string{"undo", "--dir", q.root}); code != exitFailed {
		t.Fatalf("a second undo: exit code %d", code)
	}
	if diff := cmp.Diff(before, q.files()); diff != "" {
		t.Fatalf("a second undo writes (-before +after):\n%s", diff)
	}
	if args[0] == "apply" || args[0] == "update" {
		q.run(args...) // what scaffold.yaml says is as it was, edited
	}
}

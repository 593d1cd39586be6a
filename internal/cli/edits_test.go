package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/record"
	"github.com/seed-d146d9dc/scaffold/internal/render"
	"github.com/seed-d146d9dc/scaffold/templates"
)

// An account says what became of edits.
type account struct{ edits, kept, listed, decided int }

// TestEditsAreCounted lets a simulated owner edit a service, then runs any
// command with any way to decide conflicts. Each edit is there afterwards, or its
// file is in a listed conflict and nothing was written, or that conflict was
// decided against it. Nothing else becomes of an edit.
func TestEditsAreCounted(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	a := newApp(templates.FS, nil, io.Discard, io.Discard, os.Getenv)
	c, err := a.catalog()
	if err != nil {
		t.Fatal(err)
	}
	brought := everyPath(t, c)
	var sum account
	codes := make(map[int]int)
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(top, "")
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		root := filepath.Join(dir, "orders")
		s := &ownedService{owner: owner{t: rt, root: root, brought: brought}, a: a, c: c}
		s.make()
		s.change(&sum, codes)
	})
	t.Logf("%d edits: %d kept, %d in listed conflicts, %d decided against; exit codes %v", sum.edits, sum.kept, sum.listed, sum.decided, codes)
	if sum.kept+sum.listed+sum.decided != sum.edits {
		t.Errorf("%d edits are unaccounted for", sum.edits-sum.kept-sum.listed-sum.decided)
	}
	if sum.kept == 0 || codes[exitDone] == 0 {
		t.Error("no edit was ever kept by a command that wrote")
	}
}

// everyPath are the paths of a service with every pattern, for every option.
func everyPath(t *testing.T, c *catalog.Catalog) []string {
	t.Helper()
	var names []string
	for _, p := range c.Patterns {
		names = append(names, p.Name)
	}
	paths := make(map[string]bool)
	for _, o := range c.Options {
		for _, value := range o.ValueNames() {
			s, _, err := c.Resolve(names, map[string]string{o.Name: value})
			if err != nil {
				t.Fatal(err)
			}
			s.Name, s.Module = "orders", "example.com/orders"
			all, err := render.Paths(c, s)
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(paths, all)
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// aged returns the templates as some scaffold of another time may have had them:
// with comments that are no more, without some that are there now, and with files
// more or less. The paths are those of the files that differ.
func aged(t *rapid.T) (old fstest.MapFS, differ []string) {
	old = fstest.MapFS{}
	var texts []string
	err := fs.WalkDir(templates.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(templates.FS, name)
		old[name] = &fstest.MapFile{Data: data, Mode: 0o444}
		if strings.HasPrefix(name, "service/") && !strings.Contains(name, ".tmpl") && old[name+".tmpl"] == nil {
			texts = append(texts, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(texts)
	for i := range rapid.IntRange(1, 12).Draw(t, "older files") {
		name := rapid.SampledFrom(texts).Draw(t, "older file")
		if old[name] == nil {
			continue
		}
		differ = append(differ, strings.Replace(strings.TrimPrefix(name, "service/"), "cmd/service/", "cmd/orders/", 1))
		if !strings.HasSuffix(name, ".go") && rapid.Bool().Draw(t, "not there yet") {
			delete(old, name)
			continue
		}
		lines := strings.SplitAfter(string(old[name].Data), "\n")
		at := drawLine(t, lines)
		if l := strings.TrimSpace(lines[at]); strings.HasPrefix(l, "// ") {
			lines = slices.Delete(lines, at, at+1)
		} else {
			lines = slices.Insert(lines, at, comment(name, fmt.Sprintf("old%dx", i)))
		}
		old[name] = &fstest.MapFile{Data: []byte(strings.Join(lines, "")), Mode: 0o444}
	}
	if rapid.Bool().Draw(t, "a file that is no more") {
		differ = append(differ, "docs/first.md")
		old["service/docs/first.md"] = &fstest.MapFile{Data: []byte("# First\n"), Mode: 0o444}
	}
	return old, differ
}

// An ownedService is a service with its owner, and what changes it.
type ownedService struct {
	owner
	a *app
	c *catalog.Catalog
}

func (s *ownedService) names() []string {
	var names []string
	for _, p := range s.c.Patterns {
		names = append(names, p.Name)
	}
	return names
}

// make makes a service of these or of older templates.
func (s *ownedService) make() {
	t := s.t
	maker := newApp(templates.FS, nil, io.Discard, io.Discard, os.Getenv)
	if rapid.Bool().Draw(t, "made by an older scaffold") {
		old, differ := aged(t)
		s.hot = append(s.hot, differ...)
		maker = newApp(old, nil, io.Discard, io.Discard, os.Getenv)
		maker.version = "v0.0.3"
	}
	s.hot = append(s.hot, "cmd/orders/app.go", "README.md", "compose.yaml", "Makefile")
	with := none
	if had := rapid.SliceOfNDistinct(rapid.SampledFrom(s.names()), 0, 3, rapid.ID).Draw(t, "new"); len(had) > 0 {
		with = strings.Join(had, ",")
	}
	defer func() { // what remove takes out
		own := s.paths(func(p string) bool {
			return slices.ContainsFunc(s.names(), func(n string) bool { return strings.Contains(p, n) })
		})
		if len(own) > 0 {
			s.hot = append(s.hot, rapid.SliceOfN(rapid.SampledFrom(own), 0, 6).Draw(t, "files of patterns")...)
		}
	}()
	if code := maker.run(context.Background(), []string{"new", "orders", "--no-git", "--dir", s.root, "--with", with}); code != exitDone {
		t.Fatalf("new: exit code %d", code)
	}
}

// command draws what is to be run. For apply it edits scaffold.yaml first.
func (s *ownedService) command() []string {
	t := s.t
	m := s.manifest()
	switch rapid.IntRange(0, 9).Draw(t, "command") {
	case 0, 1:
		return []string{"add", rapid.SampledFrom(s.names()).Draw(t, "add")}
	case 2, 3:
		if free := removable(s.c, m); len(free) > 0 {
			return []string{"remove", rapid.SampledFrom(free).Draw(t, "remove")}
		}
	case 4:
		o := rapid.SampledFrom(s.c.Options).Draw(t, "option")
		return []string{"set", o.Name + "=" + rapid.SampledFrom(o.ValueNames()).Draw(t, "value")}
	case 5, 6:
		m.Patterns = rapid.SliceOfNDistinct(rapid.SampledFrom(s.names()), 0, 4, rapid.ID).Draw(t, "patterns")
		m.Options = nil
		switch rapid.IntRange(0, 5).Draw(t, "renamed") {
		case 0:
			m.Module = "shop.example/mail"
		case 1:
			m.Name = "mail"
		}
		text, err := m.Update([]byte(s.read(record.ManifestFile)))
		if err != nil {
			t.Fatal(err)
		}
		s.write(record.ManifestFile, string(text))
		return []string{"apply"}
	}
	return []string{"update"}
}

// removable are the patterns that no other one requires.
func removable(c *catalog.Catalog, m record.Manifest) []string {
	return slices.DeleteFunc(slices.Clone(m.Patterns), func(name string) bool {
		rest := slices.DeleteFunc(slices.Clone(m.Patterns), func(n string) bool { return n == name })
		after, _, err := c.Resolve(rest, nil)
		return err != nil || after.Has(name)
	})
}

func (s *ownedService) manifest() record.Manifest {
	m, err := record.Parse(record.ManifestFile, []byte(s.read(record.ManifestFile)))
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// A result is what a command did, as it says itself.
type result struct {
	Result, Error           string
	Needed, Broken, Clashes []string
	Plan                    struct{ Steps []plan.Step }
	code                    int
	said                    string
}

func (r result) step(p string) plan.Step {
	for _, step := range r.Plan.Steps {
		if step.Path == p {
			return step
		}
	}
	return plan.Step{}
}

func (r result) conflicts() []string {
	var paths []string
	for _, step := range r.Plan.Steps {
		if step.Action == plan.Conflict {
			paths = append(paths, step.Path)
		}
	}
	return paths
}

// run runs a command in a process of its own. Without a go command it checks no
// types, which takes as long as all else many times over.
func (s *ownedService) run(withGo bool, args ...string) result {
	t := s.t
	args = append(args, "--json", "--dir", s.root)
	program, err := exec.LookPath("scaffold")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	if !withGo {
		cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PATH=") })
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r := result{code: cmd.ProcessState.ExitCode(), said: strings.Join(args, " ") + ": " + errs.String()}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%s\n%v\n%s", r.said, err, out.Bytes())
	}
	return r
}

// change has the owner edit the service, runs a command, and counts.
func (s *ownedService) change(sum *account, codes map[int]int) {
	t := s.t
	for range rapid.IntRange(1, 10).Draw(t, "edits") {
		s.edit()
	}
	sum.edits += len(s.edits)
	args := s.command()
	withGo := rapid.IntRange(0, 19).Draw(t, "with a go command") == 0
	policy := rapid.SampledFrom([]string{"", "mine", "theirs", "markers"}).Draw(t, "conflicts")
	if policy != "" {
		args = append(args, "--conflicts="+policy)
	}
	before := s.files()
	r := s.run(withGo, args...)
	codes[r.code]++
	if r.code != exitDone {
		s.refused(r, before)
		if r.code != exitConflicts {
			sum.kept += len(s.edits)
			return
		}
		listed := r.conflicts()
		for _, e := range s.edits {
			if slices.Contains(listed, e.path) {
				sum.listed++
			} else {
				sum.kept++
			}
		}
		if policy == "mine" {
			return // what no choice can decide
		}
		// What was listed and is decided for the owner keeps all.
		args = append(slices.DeleteFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--conflicts") }), "--conflicts=mine")
		if r = s.run(withGo, args...); r.code != exitDone {
			s.refused(r, before)
			return
		}
		s.count(r, new(account))
	} else {
		s.count(r, sum)
	}
	s.again(r, before)
}

// refused checks that a command which did not end well wrote nothing, and that
// it listed a conflict if that is why.
func (s *ownedService) refused(r result, before map[string]string) {
	if diff := cmp.Diff(before, s.files()); diff != "" {
		s.t.Fatalf("%s\nexit code %d, and written (-before +after):\n%s", r.said, r.code, diff)
	}
	if r.code == exitConflicts && len(r.conflicts())+len(r.Needed)+len(r.Broken)+len(r.Clashes) == 0 {
		s.t.Fatalf("%s\nconflicts, and none is listed", r.said)
	}
	if r.Error == "" {
		s.t.Fatalf("%s\nexit code %d without a reason", r.said, r.code)
	}
}

// count looks for each edit after a command that ended well.
func (s *ownedService) count(r result, sum *account) {
	files := s.files()
	for _, e := range s.edits {
		step := r.step(e.path)
		switch {
		case e.stands(e.path, files):
			sum.kept++
		case step.Conflict != nil && (step.Decided == plan.Theirs || step.Decided == plan.Markers):
			sum.decided++
		default:
			s.t.Fatalf("%s\n%s: the owner's edit (%s) is gone without a word: %+v\n%s", r.said, e.path, e.what, step, files[e.path])
		}
	}
}

// again runs apply, which finds nothing to do, and then undo, which restores what
// stood there before the command.
func (s *ownedService) again(r result, before map[string]string) {
	t := s.t
	after := s.files()
	if r.Result != resultWritten {
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("%s\n%s, and written (-before +after):\n%s", r.said, r.Result, diff)
		}
		return
	}
	marked := slices.ContainsFunc(r.Plan.Steps, func(step plan.Step) bool { return step.Decided == plan.Markers })
	if !marked {
		second := s.run(false, "apply")
		if diff := cmp.Diff(after, s.files()); diff != "" {
			t.Fatalf("%s\nand then apply writes (-before +after):\n%s", r.said, diff)
		}
		if second.code != exitDone || second.Result != resultUnchanged {
			t.Fatalf("%s\nand then %s: %d, %s", r.said, second.said, second.code, second.Result)
		}
	}
	if back := s.run(false, "undo"); back.code != exitDone {
		t.Fatalf("%s\nand then %s: %d", r.said, back.said, back.code)
	}
	if diff := cmp.Diff(before, s.files()); diff != "" {
		t.Fatalf("%s\nand then undo leaves (-before +after):\n%s", r.said, diff)
	}
}

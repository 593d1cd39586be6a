package cli

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-d146d9dc/scaffold/templates"
)

// For any sequence of commands on a service that no one edited, the result is
// what new makes of the final choice, byte for byte.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	a := newApp(templates.FS, nil, io.Discard, io.Discard, os.Getenv)
	c, err := a.catalog()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range c.Patterns {
		names = append(names, p.Name)
	}
	top := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(top, "")
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		run := func(args ...string) {
			if code := a.run(t.Context(), args); code != exitDone {
				rt.Fatalf("%v: exit code %d", args, code)
			}
		}
		had := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID).Draw(rt, "new")
		with := none
		if len(had) > 0 {
			with = strings.Join(had, ",")
		}
		root := filepath.Join(dir, "orders")
		run("new", "orders", "--no-git", "--dir", root, "--with", with)
		for range rapid.IntRange(1, 4).Draw(rt, "commands") {
			s, err := a.open(t.Context(), root)
			if err != nil {
				rt.Fatal(err)
			}
			on, _, err := c.Resolve(s.manifest.Patterns, nil)
			if err != nil {
				rt.Fatal(err)
			}
			switch rapid.IntRange(0, 2).Draw(rt, "command") {
			case 0:
				run("add", rapid.SampledFrom(names).Draw(rt, "add"), "--dir", root)
			case 1:
				if len(s.manifest.Patterns) == 0 {
					continue
				}
				name := rapid.SampledFrom(s.manifest.Patterns).Draw(rt, "remove")
				rest := slices.DeleteFunc(slices.Clone(s.manifest.Patterns), func(n string) bool { return n == name })
				if after, _, err := c.Resolve(rest, nil); err != nil || after.Has(name) {
					continue // another one requires it
				}
				run("remove", name, "--dir", root)
			case 2:
				for _, o := range c.Options {
					if on.Has(o.Pattern) {
						run("set", o.Name+"="+rapid.SampledFrom(o.ValueNames()).Draw(rt, o.Name), "--dir", root)
					}
				}
			}
		}
		s, err := a.open(t.Context(), root)
		if err != nil {
			rt.Fatal(err)
		}
		args := []string{"new", "orders", "--no-git", "--dir", filepath.Join(dir, "twin"), "--with", none}
		if len(s.manifest.Patterns) > 0 {
			args[len(args)-1] = strings.Join(s.manifest.Patterns, ",")
		}
		for name, value := range s.manifest.Options {
			args = append(args, "--set", name+"="+value)
		}
		run(args...)
		if diff := cmp.Diff(filesOf(t, filepath.Join(dir, "twin")), filesOf(t, root)); diff != "" {
			rt.Fatalf("not what new makes (-new +sequence):\n%s", diff)
		}
	})
}

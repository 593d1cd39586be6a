package merge_test

import (
	"bytes"
	"fmt"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"github.com/seed-d146d9dc/scaffold/internal/merge"
)

// FuzzStructure feeds any bytes to the kinds that have a structure: the laws
// hold, and a clean result of sides that parse does parse, whatever the base is.
func FuzzStructure(f *testing.F) {
	all := []merge.Kind{merge.Go, merge.GoMod, merge.GoSum, merge.YAML}
	for i, dir := range []string{"go", "gomod", "gosum", "yaml"} {
		files, err := filepath.Glob("testdata/" + dir + "/*.txtar")
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				f.Fatal(err)
			}
			in := map[string][]byte{}
			for _, part := range archive.Files {
				in[part.Name] = part.Data
			}
			f.Add(byte(i), in["base"], in["ours"], in["theirs"])
		}
	}
	f.Fuzz(func(t *testing.T, which byte, base, ours, theirs []byte) {
		kind := all[int(which)%len(all)]
		got := merge.Merge(kind, base, ours, theirs, labels)
		for _, law := range []struct{ o, a, b, want []byte }{
			{base, ours, ours, ours}, {base, base, theirs, theirs}, {base, ours, base, ours},
		} {
			r := merge.Merge(kind, law.o, law.a, law.b, labels)
			if !r.Clean() || !bytes.Equal(r.Data, law.want) {
				t.Fatalf("a law does not hold for %q, %q, %q", law.o, law.a, law.b)
			}
		}
		if !got.Clean() {
			return
		}
		sound := func(data []byte) error { return parses(kind, data) }
		if sound(ours) == nil && sound(theirs) == nil {
			if err := sound(got.Data); err != nil {
				t.Fatalf("the sides parse, the result does not: %v\n%s", err, got.Data)
			}
		}
		if kind == merge.Go && clean(ours) && clean(theirs) && !clean(got.Data) {
			t.Fatalf("the sides are gofmt-clean, the result is not:\n%s", got.Data)
		}
	})
}

func parses(kind merge.Kind, data []byte) error {
	switch kind {
	case merge.Go:
		_, err := parser.ParseFile(token.NewFileSet(), "", data, parser.SkipObjectResolution)
		return err
	case merge.GoMod:
		_, err := modfile.Parse("go.mod", data, nil)
		return err
	case merge.YAML:
		return yaml.Unmarshal(data, &yaml.Node{})
	default:
		return nil
	}
}

func clean(src []byte) bool {
	formatted, err := format.Source(src)
	return err == nil && bytes.Equal(formatted, src)
}

// TestYAMLAdditionsNeverConflict: an owner who only adds entries and comments
// on them to a compose.yaml, whatever the templates add and take away.
func TestYAMLAdditionsNeverConflict(t *testing.T) {
	t.Parallel()
	type compose struct {
		Services map[string]struct {
			Image       string
			Environment map[string]string
			Ports       []string
		}
	}
	read := func(t *rapid.T, data []byte) (c compose) {
		if err := yaml.Unmarshal(data, &c); err != nil {
			t.Fatalf("%v in\n%s", err, data)
		}
		return c
	}
	names := []string{"app", "db", "nats", "redis", "s3"}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) string {
			var b strings.Builder
			b.WriteString("# Compose.\nservices:\n")
			chosen := slices.DeleteFunc(slices.Clone(names[1:]), func(string) bool { return rapid.Bool().Draw(t, label) })
			for _, name := range append([]string{"app"}, chosen...) {
				fmt.Fprintf(&b, "  %s:\n    image: %s:1\n    environment:\n      FIRST: %s\n", name, name, name)
				if rapid.Bool().Draw(t, label+" variable") {
					fmt.Fprintf(&b, "      SECOND: %s\n", name)
				}
				fmt.Fprintf(&b, "    ports:\n      - %s-port\n", name)
			}
			return b.String()
		}
		base, theirs := draw("base"), draw("next")
		ours, added := ownYAML(t, base)
		got := merge.Merge(merge.YAML, []byte(base), []byte(ours), []byte(theirs), labels)
		was, next := read(t, []byte(base)), read(t, []byte(theirs))
		for name := range was.Services {
			if _, kept := next.Services[name]; !kept && strings.Contains(added, " in "+name+"\n") {
				return // removed here and edited there: it may conflict
			}
		}
		if !got.Clean() {
			t.Fatalf("conflict:\n%s\nadded:\n%s", got.Data, added)
		}
		merged := read(t, got.Data)
		for name, want := range next.Services {
			service, ok := merged.Services[name]
			if !ok {
				t.Fatalf("service %s of theirs is not there:\n%s", name, got.Data)
			}
			for key, value := range want.Environment {
				if service.Environment[key] != value {
					t.Fatalf("%s: variable %s of theirs is %q:\n%s", name, key, service.Environment[key], got.Data)
				}
			}
		}
		for line := range strings.Lines(added) {
			what, _, _ := strings.Cut(line, " in ")
			if n := strings.Count(string(got.Data), strings.TrimSpace(what)+"\n"); n != 1 {
				t.Fatalf("%q is there %d times:\n%s", what, n, got.Data)
			}
		}
	})
}

// ownYAML adds services, variables, ports and comments of an owner, and returns
// a line "what in service" for each.
func ownYAML(t *rapid.T, base string) (ours, added string) {
	lines := strings.SplitAfter(base, "\n")
	for i := range rapid.IntRange(1, 4).Draw(t, "additions") {
		service := ""
		var places []int
		what := rapid.SampledFrom([]string{"service", "variable", "port"}).Draw(t, "what")
		for j, l := range lines {
			if what == "service" && strings.HasPrefix(l, "  ") && l[2] != ' ' ||
				what == "variable" && strings.Contains(l, "FIRST") ||
				what == "port" && strings.Contains(l, "-port") {
				places = append(places, j)
			}
		}
		at := rapid.SampledFrom(places).Draw(t, "place")
		for _, l := range lines[:at+1] {
			if strings.HasPrefix(l, "  ") && l[2] != ' ' {
				service = strings.Trim(l, " :\n")
			}
		}
		if what == "service" {
			text := fmt.Sprintf("  # Own %d.\n  own%d:\n    image: own%d:1\n", i, i, i)
			added += fmt.Sprintf("own%d: in own%d\nimage: own%d:1 in own%d\n# Own %d. in own\n", i, i, i, i, i)
			lines = slices.Insert(lines, at, strings.SplitAfter(text, "\n")[:3]...)
			continue
		}
		text := map[string]string{
			"variable": fmt.Sprintf("      OWN%d: x # mine\n", i),
			"port":     fmt.Sprintf("      - own%d\n", i),
		}[what]
		if rapid.Bool().Draw(t, "after") {
			at++
		}
		lines = slices.Insert(lines, at, text)
		added += strings.TrimSpace(text) + " in " + service + "\n"
	}
	return strings.Join(lines, ""), added
}

// TestGoModKeepsComments: whatever the templates change, what an owner writes at
// requirements, doubled ones too, stands in the result once, or a note has it.
func TestGoModKeepsComments(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) string {
			text := "module example.com/main\n\ngo 1.26.0\n\nrequire (\n"
			for i := range 4 {
				if v := rapid.IntRange(0, 3).Draw(t, label); v > 0 {
					text += fmt.Sprintf("\texample.com/m%d v1.%d.0\n", i, v)
				}
			}
			return text + ")\n"
		}
		base, theirs := draw("base"), draw("next")
		ours, comments := base, 0
		comment := func(end string) string {
			if !rapid.Bool().Draw(t, "comment") {
				return end
			}
			comments++
			return fmt.Sprintf("// own %d.%s", comments, end)
		}
		line := func(indent, verb string) string {
			text := indent + comment("\n"+indent) + verb
			return text + fmt.Sprintf("example.com/m%d v1.%d.0 ", rapid.IntRange(0, 5).Draw(t, "module"), rapid.IntRange(1, 3).Draw(t, "version")) + comment("") + "\n"
		}
		for range rapid.IntRange(1, 4).Draw(t, "additions") {
			ours += "\n"
			if rapid.Bool().Draw(t, "block") {
				ours += comment("\n") + "require (\n" + line("\t", "") + line("\t", "") + "\t" + comment("") + "\n)\n"
			} else {
				ours += line("", "require ")
			}
		}
		got := merge.Merge(merge.GoMod, []byte(base), []byte(ours), []byte(theirs), labels)
		all := string(got.Data) + strings.Join(got.Notes, "\n")
		for i := range comments {
			if n := strings.Count(all, fmt.Sprintf("own %d.", i+1)); n != 1 {
				t.Fatalf("comment %d is there %d times:\n%s\nours:\n%s", i+1, n, all, ours)
			}
		}
	})
}

// TestGoModByModule compares the merged requirements with the rule, module by
// module.
func TestGoModByModule(t *testing.T) {
	t.Parallel()
	draw := func(t *rapid.T, label string) map[string]int {
		reqs := map[string]int{}
		for i := range 6 {
			if v := rapid.IntRange(0, 4).Draw(t, label); v > 0 {
				reqs[fmt.Sprintf("example.com/m%d", i)] = v
			}
		}
		return reqs
	}
	source := func(reqs map[string]int) []byte {
		f := new(modfile.File)
		if err := f.AddModuleStmt("example.com/main"); err != nil {
			t.Fatal(err)
		}
		if err := f.AddGoStmt("1.26.0"); err != nil {
			t.Fatal(err)
		}
		var rs []*modfile.Require
		for _, path := range slices.Sorted(maps.Keys(reqs)) {
			v := fmt.Sprintf("v1.%d.0", reqs[path])
			rs = append(rs, &modfile.Require{Mod: module.Version{Path: path, Version: v}, Indirect: path > "example.com/m3"})
		}
		f.SetRequireSeparateIndirect(rs)
		f.Cleanup()
		data, err := f.Format()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	rapid.Check(t, func(t *rapid.T) {
		o, a, b := draw(t, "base"), draw(t, "ours"), draw(t, "theirs")
		got := merge.Merge(merge.GoMod, source(o), source(a), source(b), labels)
		if !got.Clean() {
			t.Fatalf("conflict:\n%s", got.Data)
		}
		want := map[string]int{}
		for i := range 6 {
			path := fmt.Sprintf("example.com/m%d", i)
			v := max(a[path], b[path])
			switch {
			case a[path] == o[path]:
				v = b[path]
			case b[path] == o[path]:
				v = a[path]
			case a[path] == 0 && o[path] > 0:
				v = 0 // the owner removed it
			}
			if v > 0 {
				want[path] = v
			}
		}
		if diff := cmp.Diff(string(source(want)), string(got.Data)); diff != "" {
			t.Fatalf("merged (-want +got):\n%s\nbase %v, ours %v, theirs %v", diff, o, a, b)
		}
	})
}

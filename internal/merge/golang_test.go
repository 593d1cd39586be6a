package merge_test

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-d146d9dc/scaffold/internal/merge"
)

// An app is what an emitted app.go says, for drawing versions of it.
type app struct {
	imports []string
	fields  []string // "" is a blank line
	parts   []string
}

var patterns = []string{"audit", "cron", "dlq", "flags", "outbox", "progress", "queue", "retry", "sse", "webhook"}

// appOf is the app.go of a selection of patterns, three fields a group.
func appOf(selected []string) app {
	a := app{}
	if len(selected)%2 == 0 { // so that some have no imports at all
		a.imports = []string{"\t\"context\"\n", "\t\"net/http\"\n", "\n"}
	}
	a.fields = []string{"\tmux *http.ServeMux\n", "\tcfg Config\n"}
	for i, p := range patterns {
		if i%3 == 0 {
			a.fields = append(a.fields, "\n", "\t// Group "+fmt.Sprint(i/3)+".\n")
		}
		if slices.Contains(selected, p) {
			a.imports = append(a.imports, "\t\"example.com/x/internal/"+p+"\"\n")
			a.fields = append(a.fields, "\t"+p+" *"+p+".Part\n")
			a.parts = append(a.parts, "\t\t{\""+p+"\", a.setup_"+p+"},\n")
		} else if i%3 == 2 && strings.HasPrefix(a.fields[len(a.fields)-1], "\t//") {
			a.fields = a.fields[:len(a.fields)-2]
		}
	}
	return a
}

func (a app) source(t failer) []byte {
	var b bytes.Buffer
	b.WriteString("package main\n\n")
	if len(a.imports) > 0 {
		fmt.Fprintf(&b, "import (\n%s)\n\n", strings.Join(a.imports, ""))
	}
	fmt.Fprintf(&b, "// App holds the parts.\ntype App struct {\n%s}\n\n", strings.Join(a.fields, ""))
	fmt.Fprintf(&b, "func (a *App) parts() []part {\n\treturn []part{\n%s\t}\n}\n", strings.Join(a.parts, ""))
	src, err := format.Source(b.Bytes())
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.Bytes())
	}
	return src
}

// own adds what an owner adds at drawn places, and returns its words.
func (a app) own(t *rapid.T) (app, []string) {
	var words []string
	insert := func(lines []string, from int, text string) []string {
		at := rapid.IntRange(from, len(lines)).Draw(t, "at")
		if at > 0 && strings.HasPrefix(strings.TrimSpace(lines[at-1]), "//") {
			at-- // not between a comment and what it is about
		}
		return slices.Insert(slices.Clone(lines), at, text)
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "additions") {
		word := fmt.Sprintf("mine%d", i)
		switch rapid.IntRange(0, 2).Draw(t, "what") {
		case 0:
			a.imports = insert(a.imports, 0, "\t\"example.com/y/"+word+"\"\n")
		case 1:
			a.fields = insert(a.fields, 0, "\t"+word+" *"+word+".Type // of the owner\n")
		case 2:
			a.parts = insert(a.parts, 0, "\t\t// Of the owner.\n\t\t{\""+word+"\", a."+word+"},\n")
		}
		words = append(words, word)
	}
	return a, words
}

// TestGoAdditionsNeverConflict: an owner who only adds to the lists, whatever
// the templates add and take away there.
func TestGoAdditionsNeverConflict(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		subset := rapid.Custom(func(t *rapid.T) []string {
			return slices.DeleteFunc(slices.Clone(patterns), func(string) bool { return rapid.Bool().Draw(t, "out") })
		})
		before, after := appOf(subset.Draw(t, "base")), appOf(subset.Draw(t, "next"))
		mine, words := before.own(t)
		base, ours, theirs := before.source(t), mine.source(t), after.source(t)
		checkLaws(t, merge.Go, base, ours, theirs)

		got := merge.Merge(merge.Go, base, ours, theirs, labels)
		if !got.Clean() {
			t.Fatalf("conflict:\n%s\nbase:\n%s", got.Data, base)
		}
		if clean, err := format.Source(got.Data); err != nil || !bytes.Equal(clean, got.Data) {
			t.Fatalf("not gofmt-clean (%v):\n%s", err, got.Data)
		}
		// What is not the owner's is theirs, in their order; the imports are in
		// the owner's groups.
		var rest strings.Builder
		for line := range strings.Lines(string(got.Data)) {
			if !strings.Contains(line, "mine") && !strings.Contains(line, "// Of the owner.") {
				rest.WriteString(line)
			}
		}
		noSpace := func(s string) string { return strings.Join(strings.Fields(s), "") }
		gotImports, gotRest := cutImports(rest.String())
		wantImports, wantRest := cutImports(string(theirs))
		slices.Sort(gotImports)
		slices.Sort(wantImports)
		if noSpace(gotRest) != noSpace(wantRest) || !slices.Equal(gotImports, wantImports) {
			t.Fatalf("without the owner's lines:\n%s\nwant theirs:\n%s", got.Data, theirs)
		}
		all, _ := cutImports(string(got.Data))
		own, _ := cutImports(string(ours))
		own = slices.DeleteFunc(own, func(l string) bool { return !slices.Contains(all, l) })
		all = slices.DeleteFunc(all, func(l string) bool { return !slices.Contains(own, l) })
		if !slices.Equal(own, all) {
			t.Fatalf("the owner's imports moved:\n%s\nours:\n%s", got.Data, ours)
		}
		for _, word := range words {
			if n := strings.Count(string(got.Data), word+`"`) + strings.Count(string(got.Data), word+".Type"); n != 1 {
				t.Fatalf("%s is there %d times:\n%s", word, n, got.Data)
			}
		}
	})
}

// TestGoRenamedPartKeepsItsPlace: an owner who gives one part another label,
// its setup another name, or both, and parts that the templates add anywhere.
func TestGoRenamedPartKeepsItsPlace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var before []string
		for _, p := range patterns {
			if rapid.Bool().Draw(t, p) {
				before = append(before, p)
			}
		}
		if len(before) == 0 {
			return
		}
		renamed := rapid.SampledFrom(before).Draw(t, "renamed")
		base, theirs := appOf(before).source(t), appOf(patterns).source(t)
		line := "{\"" + renamed + "\", a.setup_" + renamed + "}"
		mine := rapid.SampledFrom([]string{
			"{\"mine\", a.setup_" + renamed + "}", "{\"mine\", a.setup_mine}", "{\"" + renamed + "\", a.setup_mine}",
		}).Draw(t, "mine")
		ours := bytes.Replace(base, []byte(line), []byte(mine), 1)
		got := merge.Merge(merge.Go, base, ours, theirs, labels)
		if !got.Clean() {
			t.Fatalf("conflict:\n%s", got.Data)
		}
		_, want := cutImports(strings.Replace(string(theirs), line, mine, 1))
		_, rest := cutImports(string(got.Data))
		if diff := cmp.Diff(strings.Fields(want), strings.Fields(rest)); diff != "" {
			t.Fatalf("merged (-want +got):\n%s", diff)
		}
	})
}

// cutImports returns the lines of a source that import something, and the rest
// without the brackets around them.
func cutImports(src string) (imports []string, rest string) {
	before, behind, ok := strings.Cut(src, "import (\n")
	if !ok {
		return nil, src
	}
	list, behind, _ := strings.Cut(behind, ")\n")
	for line := range strings.Lines(list) {
		if line != "\n" {
			imports = append(imports, line)
		}
	}
	return imports, before + behind
}

// TestGoEdits draws moves of lines within this package's own sources: the laws
// hold, and a clean result is gofmt-clean, as both sides are.
func TestGoEdits(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("[a-m]*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources to try: %v", err)
	}
	rapid.Check(t, func(t *rapid.T) {
		base, err := os.ReadFile(rapid.SampledFrom(files).Draw(t, "file"))
		if err != nil {
			t.Fatalf("%v", err)
		}
		edit := func(label string) []byte {
			lines := strings.SplitAfter(string(base), "\n")
			for range rapid.IntRange(1, 3).Draw(t, label) {
				from := rapid.IntRange(0, len(lines)-1).Draw(t, "from")
				to := rapid.IntRange(0, len(lines)-1).Draw(t, "to")
				n := min(rapid.IntRange(0, 6).Draw(t, "lines"), len(lines)-from)
				moved := slices.Clone(lines[from : from+n])
				out := slices.Insert(slices.Clone(lines), to, moved...)
				src, err := format.Source([]byte(strings.Join(out, "")))
				if err != nil {
					continue
				}
				if again, err := format.Source(src); err == nil && bytes.Equal(again, src) {
					lines = strings.SplitAfter(string(src), "\n")
				}
			}
			return []byte(strings.Join(lines, ""))
		}
		ours, theirs := edit("ours"), edit("theirs")
		checkLaws(t, merge.Go, base, ours, theirs)
		got := merge.Merge(merge.Go, base, ours, theirs, labels)
		if !got.Clean() {
			return
		}
		if clean, err := format.Source(got.Data); err != nil || !bytes.Equal(clean, got.Data) {
			t.Fatalf("not gofmt-clean (%v):\n%s", err, got.Data)
		}
	})
}

func BenchmarkText400(b *testing.B) { benchmark(b, merge.Text) }

func BenchmarkGo400(b *testing.B) { benchmark(b, merge.Go) }

// benchmark merges two changes each into a Go file of about 400 lines.
func benchmark(b *testing.B, kind merge.Kind) {
	var base bytes.Buffer
	base.WriteString("package main\n")
	for i := range 50 {
		fmt.Fprintf(&base, "\nfunc f%d() error {\n\tif err := g(%d); err != nil {\n\t\treturn err\n\t}\n\treturn nil\n}\n", i, i)
	}
	ours := bytes.Replace(base.Bytes(), []byte("g(10)"), []byte("mine(10)"), 1)
	ours = bytes.Replace(ours, []byte("func f30"), []byte("func mine() {}\n\nfunc f30"), 1)
	theirs := bytes.Replace(base.Bytes(), []byte("g(20)"), []byte("next(20)"), 1)
	theirs = bytes.Replace(theirs, []byte("func f40"), []byte("func next() {}\n\nfunc f40"), 1)
	if r := merge.Merge(kind, base.Bytes(), ours, theirs, labels); !r.Clean() {
		b.Fatalf("not clean:\n%s", r.Data)
	}
	for b.Loop() {
		merge.Merge(kind, base.Bytes(), ours, theirs, labels)
	}
}

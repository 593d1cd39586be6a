package cli

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/templates"
)

// older returns the templates as some earlier scaffold may have had them: files
// that are no more, files that are to come, and other text in those between.
func older(t *testing.T) fstest.MapFS {
	t.Helper()
	old := fstest.MapFS{}
	err := fs.WalkDir(templates.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(templates.FS, name)
		old[name] = &fstest.MapFile{Data: data, Mode: 0o444}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	edit := func(name, now, before string) {
		data := old[name].Data
		if !bytes.Contains(data, []byte(now)) {
			t.Fatalf("%s: no %q", name, now)
		}
		old[name].Data = bytes.Replace(data, []byte(now), []byte(before), 1)
	}
	edit("service/internal/sse/event.go", "package sse\n", "package sse\n\n// old is of the first version.\nconst old = 1\n")
	edit("service/Makefile.tmpl", "test:", "check:")
	old["service/internal/sse/sse_first.go"] = &fstest.MapFile{Data: []byte("package sse\n\nconst first = old\n")}
	delete(old, "service/compose.yaml.tmpl")
	delete(old, "service/.gitattributes")
	return old
}

func runWith(t *testing.T, templates fs.FS, version string, args ...string) (code int, out string) {
	t.Helper()
	var printed bytes.Buffer
	a := newApp(templates, strings.NewReader(""), &printed, &printed, func(string) string { return "" })
	a.version = version
	return a.run(t.Context(), args), printed.String()
}

// TestUpdate brings a service that older templates made to these: what the owner
// edited is kept, all else is as new makes it, and neither the older templates
// nor a network are there.
func TestUpdate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	orders, twin := filepath.Join(dir, "a", "orders"), filepath.Join(dir, "b", "orders")
	if code, out := runWith(t, older(t), "v0.0.3", "new", "orders", "--dir", orders, "--with", "sse", "--no-git"); code != 0 {
		t.Fatal(out)
	}
	code, out := runWith(t, templates.FS, "v0.1.0", "check", "--dir", orders)
	if code != 4 || !strings.Contains(out, "delete    internal/sse/sse_first.go") {
		t.Fatalf("check: %d\n%s", code, out)
	}
	edited := filepath.Join(orders, "internal/sse/event.go")
	data, err := os.ReadFile(edited)
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, "\n// mine is the owner's.\nconst mine = 2\n"...)
	if err := os.WriteFile(edited, data, 0o600); err != nil {
		t.Fatal(err)
	}

	code, out = runWith(t, templates.FS, "v0.1.0", "update", "--dir", orders)
	if code != 0 || !strings.Contains(out, "from the templates of scaffold v0.0.3 to those of v0.1.0") {
		t.Fatalf("update: %d\n%s", code, out)
	}
	if code, out := runWith(t, templates.FS, "v0.1.0", "new", "orders", "--dir", twin, "--with", "sse", "--no-git"); code != 0 {
		t.Fatal(out)
	}
	want, err := below(twin)
	if err != nil {
		t.Fatal(err)
	}
	want["internal/sse/event.go"] += "\n// mine is the owner's.\nconst mine = 2\n"
	got, err := below(orders)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if code, out := runWith(t, templates.FS, "v0.1.0", "update", "--dir", orders); code != 0 || !strings.Contains(out, "Nothing to do") {
		t.Errorf("a second time: %d\n%s", code, out)
	}

	// An older scaffold does not take it back by mistake.
	if code, out := runWith(t, older(t), "v0.0.3", "update", "--dir", orders); code != 1 || !strings.Contains(out, "install that version or a newer one") {
		t.Errorf("with the older one: %d\n%s", code, out)
	}
}

// TestUpdateAsksForTypes: what the templates have no more, and code of the owner's uses,
// is told before anything is written, wherever that code is.
func TestUpdateAsksForTypes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"internal/mine/mine.go", "package mine\n\nimport \"example.com/orders/internal/sse\"\n\nvar _ = sse.Old\n", "internal/mine/mine.go:5: undefined: sse.Old"},
		{"cmd/orders/mine.go", "package main\n\nfunc (a *App) mine() { a.sse.Old() }\n", "cmd/orders/mine.go:3: a.sse.Old undefined"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			old := older(t)
			event := old["service/internal/sse/event.go"]
			event.Data = append(event.Data, "\n// Old is of the first version.\nfunc Old() {}\n\n// Old is, too.\nfunc (h *Hub) Old() {}\n"...)
			orders := filepath.Join(t.TempDir(), "orders")
			if code, out := runWith(t, old, "v0.0.3", "new", "orders", "--dir", orders, "--with", "sse", "--no-git"); code != 0 {
				t.Fatal(out)
			}
			write(t, filepath.Join(orders, tt.name), tt.text)
			before, err := below(orders)
			if err != nil {
				t.Fatal(err)
			}
			code, out := runWith(t, templates.FS, "v0.1.0", "update", "--dir", orders)
			if code != 3 || !strings.Contains(out, tt.want) || !strings.Contains(out, "with your own code this does not type-check any more") {
				t.Errorf("update: %d\n%s", code, out)
			}
			after, err := below(orders)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("written all the same:\n%s", diff)
			}
			// What does not use it is no concern of it.
			write(t, filepath.Join(orders, tt.name), strings.ReplaceAll(strings.ReplaceAll(tt.text, "a.sse.Old()", "a.sse.Drain()"), "sse.Old", "sse.New"))
			if code, out := runWith(t, templates.FS, "v0.1.0", "update", "--dir", orders); code != 0 || strings.Contains(out, "type-check") {
				t.Errorf("update: %d\n%s", code, out)
			}
		})
	}
}

// TestUpdateConflict: what both changed is asked about, and nothing is written.
func TestUpdateConflict(t *testing.T) {
	t.Parallel()
	orders := filepath.Join(t.TempDir(), "orders")
	if code, out := runWith(t, older(t), "v0.0.3", "new", "orders", "--dir", orders, "--with", "sse", "--no-git"); code != 0 {
		t.Fatal(out)
	}
	name := filepath.Join(orders, "internal/sse/sse_first.go")
	if err := os.WriteFile(name, []byte("package sse\n\nconst first = 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := below(orders)
	if err != nil {
		t.Fatal(err)
	}
	code, out := runWith(t, templates.FS, "v0.1.0", "update", "--dir", orders)
	if code != 3 || !strings.Contains(out, "internal/sse/sse_first.go") {
		t.Fatalf("update: %d\n%s", code, out)
	}
	after, err := below(orders)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("written all the same:\n%s", diff)
	}
	if code, out := runWith(t, templates.FS, "v0.1.0", "update", "--dir", orders, "--conflicts", "mine"); code != 0 {
		t.Fatalf("update: %d\n%s", code, out)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "package sse\n\nconst first = 3\n" {
		t.Errorf("the owner's file: %q, %v", got, err)
	}
}

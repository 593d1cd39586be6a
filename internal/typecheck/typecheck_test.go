package typecheck

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

func file(text string) *tree.File { return &tree.File{Data: []byte(text)} }

// repository writes a module of two packages.
func repository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                  "module acme.com/orders\n\ngo 1.26\n",
		"cmd/orders/main.go":      "package main\n\nimport \"acme.com/orders/internal/box\"\n\nfunc main() { box.Open(1) }\n",
		"internal/box/box.go":     "package box\n\nfunc Open(n int) int { return n }\n",
		"internal/bad/bad.go":     "package bad\n\nvar x int = \"x\"\n",
		"internal/box/x_test.go":  "package box\n\nimport \"testing\"\n\nfunc TestOpen(t *testing.T) { Open(2) }\n",
		"internal/box/unused.go":  "package box\n\nfunc unused() {}\n",
		"internal/tidy/tidy.go":   "package tidy\n",
		"internal/broken/go.txt":  "not Go\n",
		"internal/broken/main.go": "package broken\n\nimport _ \"acme.com/nowhere/x\"\n",
	} {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCheck(t *testing.T) {
	t.Parallel()
	root := repository(t)
	for _, tt := range []struct {
		name  string
		dirs  []string
		after map[string]*tree.File
		want  []Problem
	}{
		{"fits", []string{"cmd/orders", "internal/box"}, map[string]*tree.File{
			"internal/box/box.go": file("package box\n\nfunc Open(n int) int { return n + more }\n"),
			"internal/box/new.go": file("package box\n\nconst more = 1\n"),
		}, nil},
		{"an unknown name", []string{"cmd/orders"}, map[string]*tree.File{
			"cmd/orders/main.go": file("package main\n\nimport \"acme.com/orders/internal/box\"\n\nfunc main() { box.Close() }\n"),
		}, []Problem{{"cmd/orders/main.go", 5, "undefined: box.Close", false}}},
		{"in a test", []string{"internal/box"}, map[string]*tree.File{
			"internal/box/box.go": file("package box\n\nfunc Open(s string) string { return s }\n"),
		}, []Problem{{"internal/box/x_test.go", 5, "cannot use 2 (untyped int constant) as string value in argument to Open", false}}},
		{"by a file that goes", []string{"internal/tidy"}, map[string]*tree.File{
			"internal/tidy/tidy.go":  file("package tidy\n\nconst a = b\n"),
			"internal/tidy/other.go": nil,
		}, []Problem{{"internal/tidy/tidy.go", 3, "undefined: b", false}}},
		{"a new package", []string{"internal/box"}, map[string]*tree.File{
			"internal/box/box.go":  file("package box\n\nimport \"acme.com/orders/internal/lid\"\n\nfunc Open(n int) int { return n + lid.Weight }\n"),
			"internal/lid/lid.go":  file("package lid\n\nconst Weight = 1\n"),
			"internal/lid/l2.go":   file("package lid\n"),
			"internal/tin/tin.txt": file("x"),
		}, nil},
		{"a package of its own that is not there", []string{"internal/box"}, map[string]*tree.File{
			"internal/box/lid.go": file("package box\n\nimport _ \"acme.com/orders/internal/lid\"\n"),
		}, []Problem{{"internal/box/lid.go", 3, "package acme.com/orders/internal/lid is not there", false}}},
		{"broken before", []string{"internal/bad"}, map[string]*tree.File{
			"internal/bad/more.go": file("package bad\n\nconst a = b\n"),
		}, []Problem{
			{"internal/bad/bad.go", 3, `cannot use "x" (untyped string constant) as int value in variable declaration`, true},
			{"internal/bad/more.go", 3, "undefined: b", true},
		}},
		{"with a tag alone", []string{"internal/box"}, map[string]*tree.File{
			"internal/box/lid.go": file("//go:build linux && production\n\npackage box\n\nconst lid = b\n"),
		}, []Problem{{"internal/box/lid.go", 5, "undefined: b", false}}},
		{"with two tags, in a folder that has nothing else", []string{"internal/box", "test"}, map[string]*tree.File{
			"test/box.go": file("//go:build debug && slow\n\npackage test\n\nimport \"acme.com/orders/internal/box\"\n\nfunc f() { box.Close() }\n"),
		}, []Problem{{"test/box.go", 7, "undefined: box.Close", false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Check(t.Context(), root, tt.dirs, tt.after, "production", "debug,slow")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Among many files, each problem is told of its own.
func TestCheckNamesTheFile(t *testing.T) {
	t.Parallel()
	after := map[string]*tree.File{"internal/tidy/tidy.go": file("package tidy\n\nconst a = b\n")}
	for i := range 90 {
		after[fmt.Sprintf("docs/page%d", i)] = file("text")
	}
	for range 3 { // their order is another one each time
		got, err := Check(t.Context(), repository(t), []string{"internal/tidy"}, after)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Problem{{"internal/tidy/tidy.go", 3, "undefined: b", false}}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// Nothing is said where nothing can be: a dependency that is not at hand is no
// fault of the code.
func TestCheckUnavailable(t *testing.T) {
	t.Parallel()
	root := repository(t)
	_, err := Check(t.Context(), root, []string{"internal/broken"}, nil)
	var unavailable *UnavailableError
	if !errors.As(err, &unavailable) || !strings.Contains(err.Error(), "acme.com/nowhere/x") {
		t.Errorf("error %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Check(ended, root, []string{"internal/box"}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// A module without a sum is not at hand, whoever of the service's own imports it.
func TestCheckWithoutSum(t *testing.T) {
	t.Parallel()
	root := repository(t)
	_, err := Check(t.Context(), root, []string{"internal/tidy"}, map[string]*tree.File{
		"go.mod":                file("module acme.com/orders\n\ngo 1.26\n\nrequire acme.com/nowhere v1.0.0\n"),
		"internal/tidy/tidy.go": file("package tidy\n\nimport _ \"acme.com/orders/internal/broken\"\n"),
	})
	var unavailable *UnavailableError
	if !errors.As(err, &unavailable) || !strings.Contains(err.Error(), "missing go.sum entry") {
		t.Errorf("error %v", err)
	}
}

// What can't be loaded with some tags hides nothing that is found without them.
func TestCheckUnavailableWithTags(t *testing.T) {
	t.Parallel()
	root := repository(t)
	got, err := Check(t.Context(), root, []string{"internal/box"}, map[string]*tree.File{
		"internal/box/box.go": file("package box\n\nfunc Open(n int) int { return b }\n"),
		"internal/box/far.go": file("//go:build far\n\npackage box\n\nimport _ \"acme.com/nowhere/x\"\n"),
	}, "far")
	var unavailable *UnavailableError
	if !errors.As(err, &unavailable) || !strings.HasPrefix(err.Error(), "-tags=far: ") {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff([]Problem{{"internal/box/box.go", 3, "undefined: b", false}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whatever the go command is told by its environment, nothing is written.
func TestCheckWritesNothing(t *testing.T) {
	root := repository(t)
	t.Setenv("GOFLAGS", "-mod=mod")
	mod := filepath.Join(root, "go.mod")
	const text = "module acme.com/orders\n" // the go command would add a go line
	if err := os.WriteFile(mod, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	after := map[string]*tree.File{"internal/tidy/tidy.go": file("package tidy\n\nconst a = b\n")}
	if _, err := Check(t.Context(), root, []string{"internal/tidy"}, after); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(mod); err != nil || string(got) != text {
		t.Errorf("go.mod is %q, %v", got, err)
	}
}

func TestCheckWithoutGo(t *testing.T) {
	root := repository(t)
	t.Setenv("PATH", t.TempDir())
	_, err := Check(t.Context(), root, []string{"internal/box"}, nil)
	var unavailable *UnavailableError
	if !errors.As(err, &unavailable) || !strings.Contains(err.Error(), "no go command") {
		t.Errorf("error %v", err)
	}
}

//go:build linux || darwin

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What was decided at a terminal is type-checked before it is written: that makes new
// conflicts, or is told.
func TestDecisionsAreTypeChecked(t *testing.T) {
	t.Parallel()
	edit := func(t *testing.T, name, was, is string) {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), was) {
			t.Fatalf("%s does not hold %q", name, was)
		}
		write(t, name, strings.Replace(string(text), was, is, 1))
	}
	for _, tt := range []struct{ choice, keys, tells string }{
		{"theirs", down, ""},
		{"mine", "", "App.setupSSE already declared"},
	} {
		t.Run(tt.choice, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			scaffold(t, dir, "new", "orders", "--with", "none")
			dir = filepath.Join(dir, "orders")
			edit(t, filepath.Join(dir, "README.md"), "A Go service.", "Our dear service.")
			edit(t, filepath.Join(dir, "cmd/orders/app.go"), "// An App is", "// setupSSE is our own.\nfunc (a *App) setupSSE() {}\n\n// An App is")
			before, err := below(dir)
			if err != nil {
				t.Fatal(err)
			}

			s := startSession(t, dir, 240, 60, "add", "sse")
			s.asks("README.md: you and its template changed the same lines.")
			s.press(enter) // mine
			s.asks("cmd/orders/app.go: you and its template changed it, and the merge does not type-check")
			s.press(tt.keys)
			s.marked(tt.choice)
			s.press(enter)
			s.asks("Write it?")
			s.sees("what no longer type-checks", func(screen string) bool {
				return strings.Contains(screen, "mend it afterwards") == (tt.tells != "") && strings.Contains(screen, tt.tells)
			})
			s.press("n" + enter)
			s.exits(exitFailed)
			after, err := below(dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("written (-before +after):\n%s", diff)
			}
		})
	}
}

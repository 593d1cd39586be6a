//go:build linux || darwin

package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/hinshun/vt10x"

	"github.com/seed-d146d9dc/scaffold/internal/record"
)

// At a terminal diff is coloured, unless the person does not want that.
func TestDiffColors(t *testing.T) {
	dir := t.TempDir()
	scaffold(t, dir, "new", "orders", "--with", "polling")
	dir = filepath.Join(dir, "orders")
	m := manifestOf(t, dir)
	m.Patterns = nil
	text, err := m.Update(nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, record.ManifestFile), string(text))
	for _, tt := range []struct {
		name, noColor string
		args          []string
		want          vt10x.Color
	}{
		{"auto", "", []string{"diff"}, vt10x.Red},
		{"never", "", []string{"diff", "--color=never"}, vt10x.DefaultFG},
		{"NO_COLOR", "1", []string{"diff"}, vt10x.DefaultFG},
		{"always", "1", []string{"diff", "--color=always"}, vt10x.Red},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", tt.noColor)
			s := startSession(t, dir, 100, 60, tt.args...)
			s.exits(exitDone)
			removed := 0
			for y, line := range strings.Split(s.screen.String(), "\n") {
				if !strings.HasPrefix(line, "-") || strings.HasPrefix(line, "---") {
					continue
				}
				removed++
				if got := s.screen.Cell(0, y).FG; got != tt.want {
					t.Errorf("%q has colour %d, want %d", line, got, tt.want)
				}
			}
			if removed == 0 {
				t.Errorf("no line goes:\n%s", s.screen)
			}
			s.shows("files would change, 0 conflicts")
		})
	}
}

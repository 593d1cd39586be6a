package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-d146d9dc/scaffold/templates"
)

// The session in the README is a real one: its figures are what new prints.
func TestReadmeShowsARealSession(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	code, out := runWith(t, templates.FS, version, "new", "myservice", "--no-git",
		"--dir", filepath.Join(t.TempDir(), "myservice"), "--with", "pubsub,sse,jobstatus")
	if code != 0 {
		t.Fatal(out)
	}
	seen := 0
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "  ") && !strings.Contains(line, "go run") && !strings.Contains(line, "cd ") && !strings.Contains(line, "make test") {
			seen++
			if !strings.Contains(string(readme), line) {
				t.Errorf("README.md does not show %q", line)
			}
		}
	}
	if seen < 4 {
		t.Errorf("only %d lines to compare:\n%s", seen, out)
	}
}

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A command that is killed at any moment leaves a service that the next one
// brings to exactly before or exactly after, whatever that next one is.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	scaffold(t, dir, "new", "orders", "--with", "none", "--no-git")
	root := filepath.Join(dir, "orders")
	before := filesOf(t, root)

	start := time.Now()
	scaffold(t, root, "add", "workers")
	took := time.Since(start)
	after := filesOf(t, root)

	const moments = 30
	undone := 0
	for i := range moments {
		restore(t, root, before)
		cmd := exec.CommandContext(t.Context(), "scaffold", "add", "workers")
		cmd.Dir = root
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(took*time.Duration(i+1)/moments, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // killed, or done before
		kill.Stop()
		said := scaffold(t, root, "list")
		got := filesOf(t, root)
		switch {
		case cmp.Equal(got, before):
			undone++
		case !cmp.Equal(got, after):
			t.Fatalf("killed after %v of %v, it is neither as before nor as after (-before +now):\n%s", i, moments, cmp.Diff(before, got))
		case strings.Contains(said, "undone"):
			t.Errorf("says that it undid what is done:\n%s", said)
		}
	}
	t.Logf("%d of %d were killed before the end", undone, moments)
	if undone == 0 {
		t.Error("none was killed before its end")
	}
}

func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := below(dir)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// restore makes dir hold the files again, and nothing else.
func restore(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for name, file := range files {
		mode, data, _ := strings.Cut(file, "\n")
		perm := os.FileMode(0o644)
		if strings.Contains(mode, "x") {
			perm = 0o755
		}
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), perm); err != nil {
			t.Fatal(err)
		}
	}
}

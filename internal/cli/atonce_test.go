package cli

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/apply"
	"github.com/seed-d146d9dc/scaffold/internal/record"
	"github.com/seed-d146d9dc/scaffold/templates"
)

// Commands that run at once in one service: each does all of its own or is
// refused, so that what stands there in the end is what new makes of those that
// were not.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	scaffold(t, dir, "new", "orders", "--with", "none", "--no-git")
	root := filepath.Join(dir, "orders")
	names := []string{"sse", "pubsub", "upload", "dlq"}
	done := make([]bool, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), "scaffold", "add", name, "--json")
			cmd.Dir = root
			out, err := cmd.Output()
			var exit *exec.ExitError
			switch {
			case err == nil:
				done[i] = true
			case !errors.As(err, &exit) || exit.ExitCode() != exitFailed:
				t.Errorf("add %s: %v\n%s", name, err, out)
			case !strings.Contains(string(exit.Stderr), "changed since it was read") && !strings.Contains(string(exit.Stderr), "another scaffold command"):
				t.Errorf("add %s: %s", name, exit.Stderr)
			}
		})
	}
	wg.Wait()
	var with []string
	for i, name := range names {
		if done[i] {
			with = append(with, name)
		}
	}
	t.Logf("not refused: %v", with)
	if len(with) == 0 {
		t.Fatal("all were refused")
	}
	scaffold(t, dir, "new", "orders", "--dir", "twin", "--with", strings.Join(with, ","), "--no-git")
	if diff := cmp.Diff(filesOf(t, filepath.Join(dir, "twin")), filesOf(t, root)); diff != "" {
		t.Errorf("not what new makes of %v (-new +added):\n%s", with, diff)
	}
}

// Whatever of a service changes between the plan and its writing, nothing is
// written.
func TestChangedBetweenPlanAndWrite(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(root string) error{
		"a file that is merged": func(root string) error {
			return os.WriteFile(filepath.Join(root, "README.md"), []byte("mine\n"), 0o600)
		},
		"a file that is deleted": func(root string) error {
			return os.WriteFile(filepath.Join(root, "internal/sse/hub.go"), []byte("package sse\n"), 0o600)
		},
		"a new file where one comes": func(root string) error {
			if err := os.MkdirAll(filepath.Join(root, "internal/pubsub"), 0o750); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(root, "internal/pubsub/bus.go"), []byte("package pubsub\n"), 0o600)
		},
		"a deleted file":    func(root string) error { return os.Remove(filepath.Join(root, goMod)) },
		"an executable bit": func(root string) error { return os.Chmod(filepath.Join(root, goMod), 0o755) },
		"scaffold.yaml": func(root string) error {
			return os.WriteFile(filepath.Join(root, record.ManifestFile), []byte("\n"), 0o600)
		},
		"what is recorded":    func(root string) error { return os.Remove(filepath.Join(root, record.Dir, "base/README.md.base")) },
		"a link for a folder": func(root string) error { return os.Symlink("../..", filepath.Join(root, "internal/pubsub")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := filepath.Join(t.TempDir(), "orders")
			a := newApp(templates.FS, nil, io.Discard, io.Discard, os.Getenv)
			if code := a.run(t.Context(), []string{"new", "orders", "--with", "sse", "--no-git", "--dir", root}); code != exitDone {
				t.Fatalf("new: exit code %d", code)
			}
			s, err := a.open(t.Context(), root)
			if err != nil {
				t.Fatal(err)
			}
			want := s.manifest
			want.Patterns = []string{"pubsub"}
			d, err := a.draft(s, want)
			if err != nil {
				t.Fatal(err)
			}
			if err := change(root); err != nil {
				t.Fatal(err)
			}
			before := filesOf(t, root)
			_, err = a.carryOut(t.Context(), d, &changeOptions{yes: true}, new(document), "")
			var changed *apply.ChangedError
			if err == nil || !errors.As(err, &changed) && !strings.Contains(err.Error(), "link") {
				t.Errorf("error %v", err)
			}
			if changed != nil && len(changed.Paths) != len(slices.Compact(changed.Paths)) {
				t.Errorf("named twice: %v", changed.Paths)
			}
			if diff := cmp.Diff(before, filesOf(t, root)); diff != "" {
				t.Errorf("written all the same (-before +after):\n%s", diff)
			}
		})
	}
}

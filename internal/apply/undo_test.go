package apply

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUndo takes back a change of every kind: what stands afterwards is what
// stood before, modes included.
func TestUndo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner(t, dir)
	if err := os.Chmod(filepath.Join(dir, "internal/old/old.go"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	if err := ApplyUndoable(t.Context(), dir, "add dlq", everyKind()); err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(before, snapshot(t, dir)) {
		t.Fatal("nothing was changed")
	}
	last, err := ReadLast(dir)
	if err != nil {
		t.Fatal(err)
	}
	if last == nil || last.Command != "add dlq" {
		t.Fatalf("last change: %+v", last)
	}
	if err := Apply(t.Context(), dir, last.Changes); err != nil {
		t.Fatal(err)
	}
	after := snapshot(t, dir)
	// Directories are made anew, with the usual permissions.
	delete(before, "internal/old/deep")
	delete(after, "internal/old/deep")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("(-before +after the undo):\n%s", diff)
	}
	if last, err := ReadLast(dir); last != nil || err != nil {
		t.Errorf("taken back, and there again: %v, %v", last, err)
	}
}

// TestUndoOnlyTheLast: a change that is not to be taken back ends it for the one
// before, and so does a newer one.
func TestUndoOnlyTheLast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if last, err := ReadLast(dir); last != nil || err != nil {
		t.Fatalf("in an empty directory: %v, %v", last, err)
	}
	put(t, dir, ".scaffold/base/x.base", "x\n", 0o644)
	for _, name := range []string{"a", "b"} {
		if err := ApplyUndoable(t.Context(), dir, "add "+name, []Change{ch(name, nil, file(name))}); err != nil {
			t.Fatal(err)
		}
	}
	last, err := ReadLast(dir)
	if err != nil {
		t.Fatal(err)
	}
	if last.Command != "add b" || len(last.Changes) != 1 || last.Changes[0].Path != "b" {
		t.Errorf("last change: %+v", last)
	}
	if err := Apply(t.Context(), dir, []Change{ch("c", nil, file("c"))}); err != nil {
		t.Fatal(err)
	}
	if last, err := ReadLast(dir); last != nil || err != nil {
		t.Errorf("after another change: %v, %v", last, err)
	}
}

// TestUndoRefusesEdits: what someone changed since is named, and nothing is taken
// back.
func TestUndoRefusesEdits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		edit func(dir string) error
		want []string
	}{
		{"edited", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module mine\n"), 0o600)
		}, []string{"go.mod"}},
		{"a new file deleted", func(dir string) error { return os.Remove(filepath.Join(dir, "cmd/orders/dlq.go")) }, []string{"cmd/orders/dlq.go"}},
		{"a deleted file made again", func(dir string) error {
			if err := os.MkdirAll(filepath.Join(dir, "internal/old"), 0o700); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "internal/old/old.go"), []byte("package old\n"), 0o600)
		}, []string{"internal/old/old.go"}},
		{"made executable", func(dir string) error { return os.Chmod(filepath.Join(dir, "go.mod"), 0o755) }, []string{"go.mod"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			owner(t, dir)
			if err := ApplyUndoable(t.Context(), dir, "add dlq", everyKind()); err != nil {
				t.Fatal(err)
			}
			if err := tt.edit(dir); err != nil {
				t.Fatal(err)
			}
			_, err := ReadLast(dir)
			var changed *ChangedError
			if !errors.As(err, &changed) || !slices.Equal(changed.Paths, tt.want) {
				t.Errorf("error %v, want one of %v", err, tt.want)
			}
		})
	}
}

// TestUndoRefusesAnotherPast: what was kept must be what the journal says.
func TestUndoRefusesAnotherPast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner(t, dir)
	if err := ApplyUndoable(t.Context(), dir, "add dlq", everyKind()); err != nil {
		t.Fatal(err)
	}
	old, err := filepath.Glob(filepath.Join(dir, undoDir, "*.old"))
	if err != nil || len(old) == 0 {
		t.Fatalf("kept: %v, %v", old, err)
	}
	if err := os.WriteFile(old[0], []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if last, err := ReadLast(dir); err == nil {
		t.Errorf("taken back to %+v", last)
	}
}

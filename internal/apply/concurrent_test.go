//go:build unix

package apply

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// killedThenEdited is a service in which a change of every kind was killed before
// its end, and whose files someone edited then. It returns what is to stand there
// after a recovery, and its outcome.
func killedThenEdited(t *testing.T, dir string) (map[string]string, Outcome) {
	t.Helper()
	owner(t, dir)
	want := snapshot(t, dir)
	dead := survive(func() {
		a := applier{hook: func(op, name string, after bool) error {
			if after && op == "rename" && name == "scripts/new" { // the last but one
				panic(killed{})
			}
			return nil
		}}
		_ = a.apply(t.Context(), dir, everyKind())
	})
	if !dead {
		t.Fatal("not killed")
	}
	put(t, dir, "cmd/orders/app.go", "package main // mine\n", 0o644)
	put(t, dir, "internal/dlq/dlq.go", "package dlq // mine\n", 0o644)
	put(t, dir, "internal/dlq/more.go", "package dlq\n", 0o644)
	put(t, dir, "internal/old/old.go", "package old // mine\n", 0o644)
	put(t, dir, "scripts/run", "#!/bin/sh\necho mine\n", 0o644)
	if err := os.Remove(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	want["cmd/orders/app.go"] = "-rw-r--r-- package main // mine\n"
	want["cmd/orders/app.go.scaffold-old"] = "-rw-r--r-- package main // 1\n"
	want["internal/dlq"] = "drwxr-xr-x "
	want["internal/dlq/dlq.go"] = "-rw-r--r-- package dlq // mine\n"
	want["internal/dlq/more.go"] = "-rw-r--r-- package dlq\n"
	want["internal/old/old.go"] = "-rw-r--r-- package old // mine\n"
	want["internal/old/old.go.scaffold-old"] = "-rw-r--r-- package old\n"
	want["scripts/run"] = "-rw-r--r-- #!/bin/sh\necho mine\n"
	return want, Outcome{
		State: Undone,
		Kept:  []string{"cmd/orders/app.go", "internal/dlq/dlq.go", "internal/old/old.go", "scripts/run"},
		Saved: []string{"cmd/orders/app.go.scaffold-old", "internal/old/old.go.scaffold-old"},
	}
}

// What someone edited between the kill and the recovery stays, and so does what
// stood there before the command. Both are told.
func TestEditAfterKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want, outcome := killedThenEdited(t, dir)
	out, err := Recover(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(outcome, out); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
	for _, p := range slices.Concat(outcome.Kept, outcome.Saved) {
		if !strings.Contains(out.String(), p) {
			t.Errorf("%s is not named: %s", p, out)
		}
	}
	if diff := cmp.Diff(want, snapshot(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// It does so, too, where a recovery is killed after any of its calls, and where the
// name beside a file is taken.
func TestEditAfterKillRecoveryKilled(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		dir := t.TempDir()
		want, outcome := killedThenEdited(t, dir)
		put(t, dir, "internal/old/old.go.scaffold-old", "taken\n", 0o644)
		want["internal/old/old.go.scaffold-old"] = "-rw-r--r-- taken\n"
		want["internal/old/old.go.scaffold-old-2"] = "-rw-r--r-- package old\n"
		outcome.Saved[1] += "-2"
		dead := survive(func() { _, _ = applier{hook: killAt(n)}.recover(t.Context(), dir) })
		out, err := Recover(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		// Once the journal is gone, all has been done.
		if diff := cmp.Diff(outcome, out); diff != "" && (n == 1 || len(out.Kept) > 0) {
			t.Errorf("killed after call %d: outcome (-want +got):\n%s", n, diff)
		}
		if diff := cmp.Diff(want, snapshot(t, dir)); diff != "" {
			t.Fatalf("killed after call %d (-want +got):\n%s", n, diff)
		}
		if !dead {
			return
		}
	}
}

// Nothing is written through a link that someone made in between.
func TestLinkAfterKill(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir := filepath.Join(top, "repo")
	killedThenEdited(t, dir)
	for _, err := range []error{
		os.RemoveAll(filepath.Join(dir, "internal/old")),
		os.Mkdir(filepath.Join(top, "out"), 0o755),
		os.Symlink("../../out", filepath.Join(dir, "internal/old")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		_, err := Recover(t.Context(), dir)
		if err == nil || !strings.Contains(err.Error(), "what stood there before is in .scaffold/stage/") || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v", err)
		}
	}
	if names, err := os.ReadDir(filepath.Join(top, "out")); err != nil || len(names) > 0 {
		t.Errorf("written through the link: %v, %v", names, err)
	}
}

// A file that is saved while the change is under way is not overwritten, and the
// rest is taken back.
func TestEditDuringApply(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"cmd/orders/app.go", "internal/old/old.go", "scripts/new"} {
		t.Run(p, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			owner(t, dir)
			want := snapshot(t, dir)
			want[p] = "-rw-r--r-- mine, and longer\n"
			a := applier{hook: func(op, name string, after bool) error {
				if after && op == "rename" && name == journalFile {
					put(t, dir, p, "mine, and longer\n", 0o644)
				}
				return nil
			}}
			err := a.apply(t.Context(), dir, everyKind())
			var changed *ChangedError
			if !errors.As(err, &changed) || len(changed.Paths) != 1 || changed.Paths[0] != p {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(want, snapshot(t, dir)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is saved over a file that the change had replaced already stays, and the error
// says where what the change had replaced is.
func TestEditDuringApplyOfWhatIsDone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner(t, dir)
	want := snapshot(t, dir)
	a := applier{hook: func(op, name string, after bool) error {
		if after && op == "rename" && name == "cmd/orders/app.go" {
			put(t, dir, name, "mine, and longer\n", 0o644)
			put(t, dir, "go.mod", "mine, and longer\n", 0o664)
		}
		return nil
	}}
	err := a.apply(t.Context(), dir, everyKind())
	var changed *ChangedError
	if !errors.As(err, &changed) || !strings.Contains(err.Error(), "cmd/orders/app.go.scaffold-old") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
	want["cmd/orders/app.go"] = "-rw-r--r-- mine, and longer\n"
	want["cmd/orders/app.go.scaffold-old"] = "-rw-r--r-- package main // 1\n"
	want["go.mod"] = "-rw-rw-r-- mine, and longer\n"
	if diff := cmp.Diff(want, snapshot(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSecondRun(t *testing.T) {
	t.Parallel()
	for _, s := range []scenario{scenarios[0], scenarios[5]} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			_, after := s.ends(t)
			top, root := s.prepare(t)
			var second, reading error
			once := false
			a := applier{hook: func(op, _ string, _ bool) error {
				if op != "write" || once {
					return nil
				}
				once = true
				second = Apply(t.Context(), root, s.changes)
				_, reading = Recover(t.Context(), root)
				return nil
			}}
			if err := a.apply(t.Context(), root, s.changes); err != nil {
				t.Fatal(err)
			}
			if !errors.Is(second, ErrLocked) || !errors.Is(reading, ErrLocked) {
				t.Errorf("a second run: %v, %v", second, reading)
			}
			if diff := cmp.Diff(after, snapshot(t, top)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A second run that comes in time waits, and then finds that the files changed.
func TestSecondRunWaits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner(t, dir)
	second := make(chan error, 1)
	once := false
	a := applier{hook: func(op, _ string, _ bool) error {
		if op == "write" && !once {
			once = true
			go func() { second <- Apply(context.Background(), dir, everyKind()) }()
		}
		return nil
	}}
	if err := a.apply(t.Context(), dir, everyKind()); err != nil {
		t.Fatal(err)
	}
	var changed *ChangedError
	if err := <-second; !errors.As(err, &changed) {
		t.Errorf("a second run: %v", err)
	}
}

func TestRecoverWritesNothingWithoutNeed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner(t, dir)
	for _, root := range []string{dir, filepath.Join(dir, "a/b")} {
		out, err := applier{hook: func(op, name string, _ bool) error {
			if op != "lstat" && op != "list" {
				t.Errorf("%s %s", op, name)
			}
			return nil
		}}.recover(t.Context(), root)
		if err != nil || out.State != Clean || out.String() != "" {
			t.Errorf("%s: %v, %v", root, out, err)
		}
	}
}

func TestRootIsNoDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "file", "x", 0o644)
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	for _, root := range []string{"file", "link", "file/x", "link/x"} {
		root = filepath.Join(dir, root)
		err := Apply(t.Context(), root, []Change{ch("x", nil, file("x"))})
		if err == nil || !strings.Contains(err.Error(), "can't be opened as a directory") {
			t.Errorf("%s: error %v", root, err)
		}
		if _, err := Recover(t.Context(), root); err == nil {
			t.Errorf("%s: recovered", root)
		}
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// Where a directory can't be locked, a file outside of it stands for it.
func TestLockFile(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	dir := t.TempDir()
	link := dir + "-link"
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	first, err := lockFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := flock(first); err != nil {
		t.Fatal(err)
	}
	second, err := lockFile(link)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	if err := flock(second); !errors.Is(err, errBusy) {
		t.Errorf("a second lock: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := flock(second); err != nil {
		t.Errorf("after the first: %v", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("left in the directory: %v, %v", names, err)
	}
}

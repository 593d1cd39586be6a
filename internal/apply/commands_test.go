//go:build unix

package apply_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/apply"
	"github.com/seed-d146d9dc/scaffold/internal/cli"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// A command is one that writes, in a service that it is run in.
type command struct {
	args []string
	// with are the patterns of the service; before is what is done to it first.
	with   string
	before func(t *testing.T, root string)
}

// commands are all that write in a service which is there.
var commands = map[string]command{
	"add":    {args: []string{"add", "sse"}, with: "none"},
	"remove": {args: []string{"remove", "sse"}, with: "sse"},
	"set":    {args: []string{"set", "database=postgres"}, with: "database"},
	"update": {args: []string{"update"}, with: "none", before: older},
	"undo": {args: []string{"undo"}, with: "none", before: func(t *testing.T, root string) {
		run(t, root, "add", "sse")
	}},
	"restore": {args: []string{"restore"}, with: "none", before: func(t *testing.T, root string) {
		for _, p := range []string{"Dockerfile", "internal/httpapi"} {
			if err := os.RemoveAll(filepath.Join(root, p)); err != nil {
				t.Fatal(err)
			}
		}
	}},
}

// older makes the service one that other templates made: its files, and what is
// recorded of them, are a little different.
func older(t *testing.T, root string) {
	change := func(p string, how func(text string) string) {
		for _, name := range []string{p, ".scaffold/base/" + p + ".base"} {
			name = filepath.Join(root, filepath.FromSlash(name))
			data, err := os.ReadFile(name)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if text := how(string(data)); text != "" {
				err = os.WriteFile(name, []byte(text), 0o644)
			} else {
				err = os.Remove(name)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range []string{"README.md", "internal/server/server.go", "cmd/orders/main.go"} {
		change(p, func(text string) string { return text + "\n" })
	}
	change("compose.yaml", func(string) string { return "" })
	change("docs/first.md", func(string) string { return "# First\n" })
	name := filepath.Join(root, "scaffold.yaml")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(data, []byte("builtin: "))
	if err := os.WriteFile(name, append(data[:i:i], "builtin: v0.0.1\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	// Its owner has edited it, too.
	name = filepath.Join(root, "README.md")
	if data, err = os.ReadFile(name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.Replace(data, []byte("A Go service"), []byte("Our service"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs scaffold in this process, and returns what it says beside its output.
func run(t *testing.T, root string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	args = append(args, "--dir", root)
	if code := cli.Main(args, strings.NewReader(""), &out, &errs, func(string) string { return "" }); code != 0 {
		t.Fatalf("%v: exit code %d\n%s%s", args, code, out.Bytes(), errs.Bytes())
	}
	return errs.String()
}

// An entry is what stands at one path: a directory, if mode says so.
type entry struct {
	Mode fs.FileMode
	Data string
}

func read(t *testing.T, root string) map[string]entry {
	t.Helper()
	all := make(map[string]entry)
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{Mode: info.Mode()}
		if !d.IsDir() {
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			e.Data = string(data)
		}
		rel, err := filepath.Rel(root, name)
		all[filepath.ToSlash(rel)] = e
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// become makes root hold want and nothing else.
func become(t *testing.T, root string, want map[string]entry) {
	t.Helper()
	now := read(t, root)
	for _, p := range slices.Backward(slices.Sorted(maps.Keys(now))) {
		if now[p] != want[p] {
			if err := os.Remove(filepath.Join(root, p)); err != nil && want[p].Mode != now[p].Mode {
				t.Fatal(err)
			}
		}
	}
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if now[p] == want[p] {
			continue
		}
		name := filepath.Join(root, p)
		var err error
		if want[p].Mode.IsDir() {
			err = os.Mkdir(name, want[p].Mode.Perm())
		} else {
			err = os.WriteFile(name, []byte(want[p].Data), want[p].Mode.Perm())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, read(t, root)); diff != "" {
		t.Fatalf("the test could not prepare the service (-want +got):\n%s", diff)
	}
}

// A trial is one command with what it changes, and how the service stands before
// and after.
type trial struct {
	root          string
	command       string
	changes       []apply.Change
	before, after map[string]entry
}

// memoryDir is a directory in memory, where the system has such a place: a service
// is written anew hundreds of times, and a disk takes its time to sync that.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "scaffold-apply-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// prepare makes a service, runs the command in it, and puts it back.
func (c command) prepare(t *testing.T, name string) *trial {
	t.Helper()
	r := &trial{root: filepath.Join(memoryDir(t), "orders")}
	run(t, r.root, "new", "orders", "--no-git", "--with", c.with)
	if c.before != nil {
		c.before(t, r.root)
	}
	r.before = read(t, r.root)
	if name == "undo" {
		last, err := apply.ReadLast(r.root)
		if err != nil || last == nil {
			t.Fatalf("nothing to take back: %v", err)
		}
		r.changes = last.Changes
	}
	args := c.args
	if name == "restore" {
		args = append(slices.Clone(args), r.root)
	}
	run(t, r.root, args...)
	r.after = read(t, r.root)
	if name != "undo" {
		r.command = strings.Join(append(slices.Clone(args), "--dir", r.root), " ")
		r.changes = apply.Diff(files(r.before), files(r.after))
	}
	if len(r.changes) == 0 {
		t.Fatal("the command changes nothing")
	}
	become(t, r.root, r.before)
	return r
}

// files are those that a command writes itself, and not what it keeps for undo.
func files(all map[string]entry) tree.Tree {
	out := make(tree.Tree)
	for p, e := range all {
		if e.Mode.IsRegular() && !strings.HasPrefix(p, ".scaffold/undo/") {
			out[p] = tree.File{Data: []byte(e.Data), Exec: e.Mode&0o100 != 0}
		}
	}
	return out
}

// calls counts the calls to the file system that the change takes, and checks that
// it is what the command did.
func (r *trial) calls(t *testing.T) int {
	t.Helper()
	n := 0
	err := apply.Hooked(t.Context(), r.root, r.command, r.changes, func(_, _ string, after bool) error {
		if after {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.after, read(t, r.root)); diff != "" {
		t.Fatalf("not what the command did (-command +change):\n%s", diff)
	}
	become(t, r.root, r.before)
	return n
}

// next does what the next command does first, whichever it is, and returns what it
// says of the one before it. The service must then stand as before or as after that
// one, as is said.
func (r *trial) next(t *testing.T) (said string) {
	t.Helper()
	look := func() string {
		out, err := apply.Recover(t.Context(), r.root)
		if err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	said = look()
	got := read(t, r.root)
	want := r.before
	if strings.Contains(said, "complete") || said == "" && maps.Equal(got, r.after) {
		want = r.after
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("the next command says %q, and the service is not so (-want +got):\n%s", said, diff)
	}
	if again := look(); again != "" {
		t.Errorf("the one after that has something to say: %s", again)
	}
	if maps.Equal(want, r.after) {
		become(t, r.root, r.before)
	}
	return said
}

// A command is killed after each call to the file system in turn. The next one
// brings the service to exactly before or exactly after, and says which.
func TestCommandKilledAfterEachCall(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range commands {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := c.prepare(t, name)
			text, err := json.Marshal(map[string]any{"Command": r.command, "Changes": r.changes})
			if err != nil {
				t.Fatal(err)
			}
			given := filepath.Join(t.TempDir(), "changes")
			if err := os.WriteFile(given, text, 0o600); err != nil {
				t.Fatal(err)
			}
			calls := r.calls(t)
			undone, complete := 0, 0
			for n := 1; n <= calls; n++ {
				cmd := exec.CommandContext(t.Context(), self)
				cmd.Env = append(os.Environ(), apply.KillRoot+"="+r.root, apply.KillChanges+"="+given, apply.KillCall+"="+strconv.Itoa(n))
				out, err := cmd.CombinedOutput()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("call %d of %d: not killed: %v\n%s", n, calls, err, out)
				}
				switch said := r.next(t); {
				case strings.Contains(said, "undone"):
					undone++
				case strings.Contains(said, "complete"):
					complete++
				}
				if t.Failed() {
					t.Fatalf("killed after call %d of %d", n, calls)
				}
			}
			t.Logf("%d files, killed after each of %d calls: %d undone, %d complete", len(r.changes), calls, undone, complete)
			if undone == 0 || complete == 0 {
				t.Error("both have to occur")
			}
		})
	}
}

// Each call of a command fails once, as on a full disk or for want of a
// permission: nothing was changed, or all was, and the next command finds a whole
// service.
func TestCommandWhoseCallsFail(t *testing.T) {
	t.Parallel()
	for name, c := range commands {
		for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EACCES} {
			t.Run(fmt.Sprintf("%s/%v", name, cause), func(t *testing.T) {
				t.Parallel()
				r := c.prepare(t, name)
				calls := r.calls(t)
				refused := 0
				for n := 1; n <= calls; n++ {
					left, what := n, ""
					err := apply.Hooked(context.Background(), r.root, r.command, r.changes, func(op, name string, after bool) error {
						if after {
							return nil
						}
						if left--; left == 0 {
							what = op + " " + name
							return cause
						}
						return nil
					})
					if err != nil {
						refused++
						if !errors.Is(err, cause) || strings.Contains(err.Error(), "\n") {
							t.Errorf("error %q", err)
						}
						if diff := cmp.Diff(r.before, read(t, r.root)); diff != "" {
							t.Errorf("refused, and written (-before +after):\n%s", diff)
						}
					}
					r.next(t)
					if t.Failed() {
						t.Fatalf("call %d of %d failed: %s", n, calls, what)
					}
				}
				t.Logf("%d files, %d calls: %d refused", len(r.changes), calls, refused)
				if refused == 0 {
					t.Error("nothing was ever refused")
				}
			})
		}
	}
}

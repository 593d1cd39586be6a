//go:build unix

package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A scenario is a change to dir/repo that a test interrupts.
type scenario struct {
	name    string
	setup   func(t testing.TB, dir string) // nil: the root does not exist
	root    string                         // below dir, "repo" if empty
	changes []Change
	noLinks bool // the file system has no hard links
	command string
}

var scenarios = []scenario{
	{name: "change", setup: owner, changes: everyKind()},
	{name: "change that can be taken back", setup: ownerWithLast, changes: everyKind(), command: "add dlq"},
	{name: "change without hard links", setup: owner, changes: everyKind(), noLinks: true},
	{name: "add to a repository that has no record", setup: func(t testing.TB, dir string) {
		put(t, dir, "go.mod", "module orders\n", 0o644)
	}, changes: []Change{
		ch("go.mod", file("module orders\n"), file("module orders\n\ngo 1.26\n")),
		ch(".scaffold/base/go.mod.base", nil, file("module orders\n\ngo 1.26\n")),
		ch("internal/dlq/dlq.go", nil, file("package dlq\n")),
	}},
	{name: "remove all", setup: func(t testing.TB, dir string) {
		put(t, dir, "go.mod", "module orders\n", 0o644)
		put(t, dir, "a/b/c", "c\n", 0o755)
		put(t, dir, ".scaffold/base/go.mod.base", "module orders\n", 0o644)
	}, changes: []Change{
		ch("go.mod", file("module orders\n"), nil),
		ch("a/b/c", program("c\n"), nil),
		ch(".scaffold/base/go.mod.base", file("module orders\n"), nil),
	}},
	{name: "new in an empty directory", setup: func(t testing.TB, dir string) {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}, changes: []Change{
		ch("go.mod", nil, file("module orders\n")),
		ch(".scaffold/base/go.mod.base", nil, file("module orders\n")),
	}},
	{name: "new", changes: []Change{
		ch("go.mod", nil, file("module orders\n")),
		ch("cmd/orders/main.go", nil, file("package main\n")),
	}},
	{name: "new below new directories", root: "a/b/repo", changes: []Change{
		ch("go.mod", nil, file("module orders\n")),
		ch("scripts/run", nil, program("#!/bin/sh\n")),
	}},
}

// ownerWithLast is a repository in which a change was made that can be taken
// back.
func ownerWithLast(t testing.TB, dir string) {
	owner(t, dir)
	put(t, dir, "docs/sse.md", "# SSE\n", 0o644)
	err := ApplyUndoable(t.Context(), dir, "add sse", []Change{
		ch("cmd/orders/sse.go", nil, file("package main // sse\n")),
		ch("docs/sse.md", file("# SSE\n"), file("# Server-sent events\n")),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// prepare makes the scenario in a new directory.
func (s scenario) prepare(t testing.TB) (top, root string) {
	t.Helper()
	top = t.TempDir()
	root = filepath.Join(top, "repo")
	if s.root != "" {
		root = filepath.Join(top, filepath.FromSlash(s.root))
	}
	if s.setup != nil {
		s.setup(t, root)
	}
	return top, root
}

// ends returns what the scenario looks like before and after.
func (s scenario) ends(t testing.TB) (before, after map[string]string) {
	t.Helper()
	top, root := s.prepare(t)
	before = snapshot(t, top)
	if err := (applier{command: s.command}).apply(t.Context(), root, s.changes); err != nil {
		t.Fatal(err)
	}
	after = snapshot(t, top)
	if maps.Equal(before, after) {
		t.Fatal("the scenario changes nothing")
	}
	return before, after
}

// links wraps h so that links fail if the scenario has none.
func (s scenario) links(h hook) hook {
	return func(op, name string, after bool) error {
		if err := h(op, name, after); err != nil {
			return err
		}
		if op == "link" && s.noLinks && !after {
			return syscall.EPERM
		}
		return nil
	}
}

// calls counts the calls that do makes.
func (s scenario) calls(t testing.TB, do func(a applier) error) int {
	t.Helper()
	n := 0
	err := do(applier{command: s.command, hook: s.links(func(_, _ string, after bool) error {
		if after {
			n++
		}
		return nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// killed is what a hook panics with instead of ending the process.
type killed struct{}

// killAt ends what runs after its n-th call.
func killAt(n int) hook {
	return func(_, _ string, after bool) error {
		if after {
			if n--; n == 0 {
				panic(killed{})
			}
		}
		return nil
	}
}

// survive runs do and reports whether it was killed. Nothing of this package
// cleans up in a deferred call, but for closing files.
func survive(do func()) (dead bool) {
	defer func() {
		switch r := recover(); r.(type) {
		case nil:
		case killed:
			dead = true
		default:
			panic(r)
		}
	}()
	do()
	return false
}

// whole recovers root, and reports an error if the result is neither before nor
// after, or not what the outcome says.
func whole(t testing.TB, top, root string, before, after map[string]string) State {
	t.Helper()
	out, err := Recover(context.Background(), root)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Kept) > 0 {
		t.Errorf("edits found where there are none: %v", out.Kept)
	}
	got := snapshot(t, top)
	want := before
	if out.State == Finished || out.State == Clean && maps.Equal(got, after) {
		want = after
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%v: neither before nor after (-want +got):\n%s", out.State, diff)
	}
	if again, err := Recover(context.Background(), root); err != nil || again.State != Clean {
		t.Errorf("a second recovery: %v, %v", again, err)
	}
	return out.State
}

// A process that ends after any call leaves what Recover makes whole.
func TestKilledAfterEachCall(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			before, after := s.ends(t)
			_, root := s.prepare(t)
			calls := s.calls(t, func(a applier) error { return a.apply(t.Context(), root, s.changes) })
			seen := map[State]int{}
			for n := 1; n <= calls; n++ {
				top, root := s.prepare(t)
				dead := survive(func() {
					a := applier{command: s.command, hook: s.links(killAt(n))}
					_ = a.apply(t.Context(), root, s.changes)
				})
				if !dead {
					t.Fatalf("call %d of %d was not made", n, calls)
				}
				seen[whole(t, top, root, before, after)]++
				if t.Failed() {
					t.Fatalf("killed after call %d of %d", n, calls)
				}
			}
			t.Logf("%d calls: %d undone, %d finished, %d clean", calls, seen[Undone], seen[Finished], seen[Clean])
			if seen[Undone] == 0 {
				t.Error("nothing was ever undone")
			}
		})
	}
}

// A recovery that is killed itself is made whole by the next one.
func TestRecoveryKilledAfterEachCall(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			before, after := s.ends(t)
			_, root := s.prepare(t)
			calls := s.calls(t, func(a applier) error { return a.apply(t.Context(), root, s.changes) })
			// Each pair of calls is one run; of many, a part, evenly spread.
			part := max(1, calls/8)
			kills := 0
			for n := 1; n <= calls; n++ {
				for m := 1 + n%part; ; m += part {
					top, root := s.prepare(t)
					survive(func() {
						a := applier{command: s.command, hook: s.links(killAt(n))}
						_ = a.apply(t.Context(), root, s.changes)
					})
					dead := survive(func() {
						a := applier{command: s.command, hook: s.links(killAt(m))}
						_, _ = a.recover(t.Context(), root)
					})
					whole(t, top, root, before, after)
					if t.Failed() {
						t.Fatalf("killed after call %d, recovery after call %d", n, m)
					}
					if !dead {
						break
					}
					kills++
				}
			}
			if kills == 0 {
				t.Error("no recovery was killed")
			}
		})
	}
}

// next is the next step that an error names.
var next = map[syscall.Errno]string{
	syscall.ENOSPC: "free some space, then run this again",
	syscall.EACCES: "make it and its directory writable, then run this again",
}

// Each call that fails once, as on a full disk or for want of a permission,
// leaves exactly what was there before, or the whole change.
func TestEachCallFails(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EACCES} {
			t.Run(s.name+"/"+cause.Error(), func(t *testing.T) {
				t.Parallel()
				before, after := s.ends(t)
				_, root := s.prepare(t)
				calls := s.calls(t, func(a applier) error { return a.apply(t.Context(), root, s.changes) })
				refused := 0
				for n := 1; n <= calls; n++ {
					top, root := s.prepare(t)
					left, what := n, ""
					a := applier{command: s.command, hook: s.links(func(op, name string, after bool) error {
						if !after {
							if left--; left == 0 {
								what = op + " " + name
								return cause
							}
						}
						return nil
					})}
					err := a.apply(t.Context(), root, s.changes)
					want := before
					if err == nil {
						want = after
						// What could not be removed is left to the next command.
						whole(t, top, root, before, after)
					} else {
						refused++
						if strings.Contains(err.Error(), "\n") || !errors.Is(err, cause) || !strings.Contains(err.Error(), next[cause]) {
							t.Errorf("error %q", err)
						}
					}
					if diff := cmp.Diff(want, snapshot(t, top)); diff != "" {
						t.Errorf("error %v, yet (-want +got):\n%s", err, diff)
					}
					if t.Failed() {
						t.Fatalf("call %d of %d failed: %s", n, calls, what)
					}
				}
				t.Logf("%d calls: %d refused", calls, refused)
				if refused == 0 {
					t.Error("nothing was ever refused")
				}
			})
		}
	}
}

// A disk that refuses every call from one on, the undoing too, leaves what the
// next command makes whole.
func TestAllCallsFailFrom(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			before, after := s.ends(t)
			_, root := s.prepare(t)
			calls := s.calls(t, func(a applier) error { return a.apply(t.Context(), root, s.changes) })
			for n := 1; n <= calls; n++ {
				top, root := s.prepare(t)
				left := n
				a := applier{command: s.command, hook: s.links(func(_, _ string, after bool) error {
					if left--; left < 0 && !after {
						return syscall.EROFS
					}
					return nil
				})}
				err := a.apply(t.Context(), root, s.changes)
				if err != nil && strings.Contains(err.Error(), "\n") {
					t.Errorf("error of more than one line: %q", err)
				}
				whole(t, top, root, before, after)
				if got := snapshot(t, top); err != nil && !maps.Equal(got, before) {
					t.Errorf("error %v, yet the change was made", err)
				}
				if t.Failed() {
					t.Fatalf("all calls failed from %d of %d on: %v", n, calls, err)
				}
			}
		})
	}
}

// The variables that make the test binary a process that kills itself.
const (
	killRoot     = "APPLY_TEST_KILL_ROOT"
	killScenario = "APPLY_TEST_KILL_SCENARIO"
	killCall     = "APPLY_TEST_KILL_CALL"
	// The file that holds a scenario that is none of those here.
	killChanges = "APPLY_TEST_KILL_CHANGES"
)

func TestMain(m *testing.M) {
	if root := os.Getenv(killRoot); root != "" {
		killSelf(root)
	}
	os.Exit(m.Run())
}

// killSelf applies a scenario and ends by SIGKILL after one of its calls.
func killSelf(root string) {
	n, err := strconv.Atoi(os.Getenv(killCall))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	all := scenarios
	if name := os.Getenv(killChanges); name != "" {
		var given struct {
			Command string
			Changes []Change
		}
		data, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(data, &given)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		all = []scenario{{changes: given.Changes, command: given.Command}}
	}
	for _, s := range all {
		if s.name != os.Getenv(killScenario) {
			continue
		}
		a := applier{command: s.command, hook: s.links(func(_, _ string, after bool) error {
			if after {
				if n--; n == 0 {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
					select {}
				}
			}
			return nil
		})}
		if err := a.apply(context.Background(), root, s.changes); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(0)
}

// The same with real processes and a real SIGKILL.
func TestSIGKILLAfterEachCall(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []scenario{scenarios[0], scenarios[1], scenarios[len(scenarios)-1]} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			before, after := s.ends(t)
			_, root := s.prepare(t)
			calls := s.calls(t, func(a applier) error { return a.apply(t.Context(), root, s.changes) })
			for n := 1; n <= calls; n++ {
				top, root := s.prepare(t)
				cmd := exec.Command(self)
				cmd.Env = append(os.Environ(), killRoot+"="+root, killScenario+"="+s.name, killCall+"="+strconv.Itoa(n))
				out, err := cmd.CombinedOutput()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("call %d of %d: not killed: %v\n%s", n, calls, err, out)
				}
				whole(t, top, root, before, after)
				if t.Failed() {
					t.Fatalf("killed after call %d of %d", n, calls)
				}
			}
		})
	}
}

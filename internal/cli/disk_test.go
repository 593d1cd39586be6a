//go:build !windows

package cli

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// program is a copy of this test binary that any user may run as scaffold.
func program(t *testing.T) string {
	t.Helper()
	found, err := exec.LookPath("scaffold")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(found)
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: that is for its owner alone.
	dir, err := os.MkdirTemp("", "scaffold-program-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "scaffold")
	if err := os.WriteFile(name, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// run runs a process, and returns its exit code.
func run(t *testing.T, cmd *exec.Cmd, out, errs *bytes.Buffer) int {
	t.Helper()
	cmd.Stdout, cmd.Stderr = out, errs
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// A directory that can't be written: for root, too, by being someone else.
func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	name := program(t)
	dir := t.TempDir()
	scaffold(t, dir, "new", "orders", "--with", "none", "--no-git")
	open := func(mode fs.FileMode) {
		for at := filepath.Join(dir, "orders"); at != filepath.Dir(os.TempDir()) && at != "/"; at = filepath.Dir(at) {
			if info, err := os.Stat(at); err == nil && info.Mode().Perm()&0o005 != 0o005 {
				if err := os.Chmod(at, 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, d := range []string{dir, filepath.Join(dir, "orders"), filepath.Join(dir, "orders", ".scaffold")} {
			if err := os.Chmod(d, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	open(0o555)
	defer open(0o755)
	for _, tt := range []struct {
		names string
		args  []string
	}{
		{filepath.Join(dir, "mail"), []string{"new", "mail", "--with", "none", "--no-git", "--dir", filepath.Join(dir, "mail")}},
		{".scaffold", []string{"add", "workers", "--dir", filepath.Join(dir, "orders")}},
	} {
		refuses(t, dir, exitFailed, []string{tt.names, "permission denied", "writable"}, func(out, err *bytes.Buffer) int {
			cmd := exec.CommandContext(t.Context(), name, tt.args...)
			cmd.Dir = "/"
			if os.Getuid() == 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
			return run(t, cmd, out, err)
		})
	}
}

// A full disk: a file system of a few pages, in a mount namespace of its own.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		noSmallDisk(t, "needs Linux, for a small file system of its own")
	}
	name := program(t)
	unshare := []string{"unshare", "--mount"}
	if os.Getuid() != 0 {
		unshare = append(unshare, "--map-root-user")
	}
	dir := t.TempDir()
	const mount = `mount -t tmpfs -o size=%s,mode=755 none "$1" && cd "$1" || exit 99; `
	// What is left is listed after the command's own output, by the shell that
	// alone sees this file system.
	for _, tt := range []struct{ name, size, script, want string }{
		{"new", "64k", `"$2" new orders --with none --no-git >/dev/null; code=$?; find . -mindepth 1; exit $code`, ""},
		{"add", "768k", `"$2" new orders --with none --no-git >/dev/null || exit 98
find orders -type f -exec sha256sum {} + | sort >../before
head -c 100M /dev/zero >fill 2>/dev/null; truncate -s -4096 fill
"$2" add workers -d orders >/dev/null; code=$?
find orders -type f -exec sha256sum {} + | sort | cmp - ../before; exit $code`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mountAt := filepath.Join(dir, tt.name, "disk")
			if err := os.MkdirAll(mountAt, 0o755); err != nil {
				t.Fatal(err)
			}
			script := strings.Replace(mount, "%s", tt.size, 1) + tt.script
			args := append(unshare[1:], "sh", "-c", script, "sh", mountAt, name)
			var out, errs bytes.Buffer
			code := run(t, exec.CommandContext(t.Context(), unshare[0], args...), &out, &errs)
			if code == 99 || strings.HasPrefix(errs.String(), "unshare:") {
				noSmallDisk(t, "this machine lets no one mount a file system: %s", errs.String())
			}
			if code != exitFailed || strings.Count(errs.String(), "\n") != 1 ||
				!strings.Contains(errs.String(), "no space left on device") || !strings.Contains(errs.String(), "free some space") {
				t.Errorf("exit code %d: %s", code, errs.String())
			}
			if out.String() != tt.want {
				t.Errorf("left on the disk:\n%s", out.String())
			}
		})
	}
}

// noSmallDisk skips the test where there can be no file system of its own, and
// fails it where nothing may be skipped, as in make test.
func noSmallDisk(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("ENGINES_REQUIRED") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

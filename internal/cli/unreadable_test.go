//go:build !windows

package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// A folder and a file that can't be read, such as those of a server beside the
// service, stop no command: no one builds what is there.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	name := program(t)
	root := filepath.Join(filepath.Dir(name), "orders")
	scaffold(t, filepath.Dir(name), "new", "orders", "--with", "sse", "--no-git")
	if err := os.MkdirAll(filepath.Join(root, "data", "pg"), 0o755); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(root, "data", "own.go")
	if err := os.WriteFile(own, []byte("package data\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	someone := new(syscall.SysProcAttr)
	if os.Getuid() == 0 { // who can read all
		const nobody = 65534
		someone.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if out, err := exec.CommandContext(t.Context(), "chown", "-R", "65534:65534", root).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, p := range []string{filepath.Join(root, "data", "pg"), own} {
		if err := os.Chmod(p, 0); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, "remove", "sse")
	cmd.Dir, cmd.SysProcAttr, cmd.Env = root, someone, []string{} // no go command
	if code := run(t, cmd, &out, &errs); code != exitDone {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	if _, err := os.Stat(filepath.Join(root, "internal", "sse")); !os.IsNotExist(err) {
		t.Errorf("not removed: %v", err)
	}
	if err := os.Chmod(filepath.Join(root, "data", "pg"), 0o700); err != nil { // to be removed
		t.Fatal(err)
	}
}

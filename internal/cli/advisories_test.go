//go:build unix

package cli

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/templates"
)

// The tests of this file are named after public advisories about tools that make
// projects from templates. Each shows that the same can't be done here.

// pack is a copy of the templates on disk, in top/pack, beside a secret in
// top/out that is none of its own.
func pack(t *testing.T, top string) string {
	t.Helper()
	dir := filepath.Join(top, "pack")
	if err := os.CopyFS(dir, templates.FS); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(top, "out", "secret"), theSecret)
	return dir
}

const theSecret = "hunter2-do-not-tell"

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

// refused runs a command with the pack, which must fail, tell no secret and leave
// everything as it is.
func refused(t *testing.T, top string, pack fs.FS, args ...string) string {
	t.Helper()
	before := filesOf(t, top)
	code, out := runWith(t, pack, "v0.1.0", args...)
	if code == exitDone || strings.Contains(out, theSecret) {
		t.Errorf("%v: exit code %d\n%s", args, code, out)
	}
	if diff := cmp.Diff(before, filesOf(t, top)); diff != "" {
		t.Errorf("%v wrote (-before +after):\n%s", args, diff)
	}
	return out
}

// CVE-2025-55214: in copier, a template could write outside of the project by a
// file whose name, rendered, was a path upwards or an absolute one. Here no name
// is rendered, no name but a clean one below the root is taken from a pack, and
// the one part of a path that comes from a person, the service's name, is checked
// wherever it comes from.
func TestCVE202555214(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../forbidden.txt", "/forbidden.txt", "a/../../forbidden.txt", `..\forbidden.txt`, "c:/forbidden.txt", ".git/hooks/post-checkout"} {
		top := t.TempDir()
		hostile := fstest.MapFS{"service/" + name: {Data: []byte("bar\n")}}
		if err := fs.WalkDir(templates.FS, ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := fs.ReadFile(templates.FS, p)
			hostile[p] = &fstest.MapFile{Data: data}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		refused(t, top, hostile, "new", "orders", "--dir", filepath.Join(top, "a", "orders"), "--with", "none", "--no-git")
	}
	top := t.TempDir()
	dir := pack(t, top)
	write(t, filepath.Join(dir, "service", `{{ printf "..%cforbidden.txt" 47 }}.tmpl`), "bar\n")
	refused(t, top, os.DirFS(dir), "new", "orders", "--dir", filepath.Join(top, "orders"), "--with", "none", "--no-git")
	for _, name := range []string{"..", "../forbidden", "/forbidden", `..\x`, "a/b", ".git"} {
		refused(t, top, templates.FS, "new", name, "--dir", filepath.Join(top, "orders"), "--with", "none", "--no-git")
	}
	root := filepath.Join(top, "orders")
	if code, out := runWith(t, templates.FS, "v0.1.0", "new", "orders", "--dir", root, "--with", "none", "--no-git"); code != exitDone {
		t.Fatal(out)
	}
	manifest, err := os.ReadFile(filepath.Join(root, "scaffold.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../../forbidden", "/forbidden", ".."} {
		write(t, filepath.Join(root, "scaffold.yaml"), strings.Replace(string(manifest), "name: orders", "name: "+name, 1))
		refused(t, top, templates.FS, "apply", "--dir", root, "--conflicts=theirs")
	}
}

// CVE-2026-23968: in copier, a template could put any file of the user's machine
// into the project, by a link to it that was followed while copying. Here a pack
// with a link, to a file or a directory, is refused.
func TestCVE202623968(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"../../out/secret", "../../out", "ABS/out/secret", "script-that-is-not-there"} {
		top := t.TempDir()
		dir := pack(t, top)
		link(t, strings.Replace(to, "ABS", top, 1), filepath.Join(dir, "service", "stolen.txt"))
		out := refused(t, top, os.DirFS(dir), "new", "orders", "--dir", filepath.Join(top, "orders"), "--with", "none", "--no-git")
		if !strings.Contains(out, "stolen.txt") {
			t.Errorf("%s: does not name the link:\n%s", to, out)
		}
	}
}

// CVE-2026-23986: in copier, a template could write outside of the project through
// a link to a directory that it had put there itself. Here a pack can't bring one,
// and one that stands in the repository, whoever put it there, is not followed.
func TestCVE202623986(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir := pack(t, top)
	link(t, "../../out", filepath.Join(dir, "service", "escape"))
	refused(t, top, os.DirFS(dir), "new", "orders", "--dir", filepath.Join(top, "orders"), "--with", "none", "--no-git")

	root := filepath.Join(top, "orders")
	if code, out := runWith(t, templates.FS, "v0.1.0", "new", "orders", "--dir", root, "--with", "none", "--no-git"); code != exitDone {
		t.Fatal(out)
	}
	for at, to := range map[string]string{"internal/sse": "../../out", "docs": "../out", ".scaffold/stage": "../../out", ".scaffold/base/docs": "../../../out"} {
		at = filepath.Join(root, at)
		link(t, to, at)
		for _, policy := range []string{"mine", "theirs", "markers"} {
			refused(t, top, templates.FS, "add", "sse", "--dir", root, "--conflicts="+policy)
		}
		if err := os.Remove(at); err != nil {
			t.Fatal(err)
		}
	}
}

// CVE-2026-34726: in copier, a template could make any directory above it the one
// that is copied, by a setting with "..". Here the one directory that is copied has
// a fixed name, no setting says another, and a link in its place is refused.
func TestCVE202634726(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"_subdirectory", "subdirectory", "root", "service"} {
		top := t.TempDir()
		dir := pack(t, top)
		name := filepath.Join(dir, "catalog.yaml")
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, name, string(data)+"\n"+key+": ..\n")
		out := refused(t, top, os.DirFS(dir), "new", "orders", "--dir", filepath.Join(top, "orders"), "--with", "none", "--no-git")
		if !strings.Contains(out, "field "+key+" not found") {
			t.Errorf("%s is not what is refused:\n%s", key, out)
		}
	}
	top := t.TempDir()
	dir := pack(t, top)
	if err := os.RemoveAll(filepath.Join(dir, "service")); err != nil {
		t.Fatal(err)
	}
	link(t, "../out", filepath.Join(dir, "service"))
	refused(t, top, os.DirFS(dir), "new", "orders", "--dir", filepath.Join(top, "orders"), "--with", "none", "--no-git")
}

// CVE-2022-24065: in cookiecutter, the name of a revision was handed to hg as an
// argument, so that one which began with a dash was a flag, and ran a command. Here
// no word of a person, a pack or a repository becomes an argument: git is run as
// `git init --quiet` and as nothing else, the go command with directories that
// begin with "./", nothing else is run, and no file of the repository ever is.
func TestCVE202224065(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	bin, log := filepath.Join(top, "bin"), filepath.Join(top, "log")
	for _, name := range []string{"git", "hg", "go", "gofmt", "sh", "bash", "make", "docker", "curl", "ssh", "golangci-lint"} {
		write(t, filepath.Join(bin, name), "#!/bin/sh\necho "+name+" \"$@\" >>"+log+"\n")
		if err := os.Chmod(filepath.Join(bin, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := exec.LookPath("scaffold")
	if err != nil {
		t.Fatal(err)
	}
	run := func(dir string, args ...string) {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + bin + ":.", "HOME=" + top, "TMPDIR=" + t.TempDir()}
		out, err := cmd.CombinedOutput()
		t.Logf("%v: %v", args, err)
		if bytes.Contains(out, []byte("panic")) {
			t.Errorf("%v:\n%s", args, out)
		}
	}
	const flag = "--config=alias.init=!touch pwned"
	run(top, "new", flag)
	run(top, "new", "--", flag)
	run(top, "new", "orders", "--module", flag, "--with", "none")
	run(top, "new", "orders", "--dir", "--upload-pack=touch pwned", "--with", "none")
	run(top, "new", "orders", "--with", "sse")
	root := filepath.Join(top, "orders")
	// What would run, if anything of a repository did.
	for _, name := range []string{"git", "go", "hooks/post_gen_project.sh", ".git/hooks/post-checkout", ".git/hooks/pre-commit", "scaffold", "tasks.sh"} {
		write(t, filepath.Join(root, name), "#!/bin/sh\necho pwned >>"+log+"\n")
		if err := os.Chmod(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// A merge of a Go file asks the go command for the types.
	app := filepath.Join(root, "cmd/orders/app.go")
	data, err := os.ReadFile(app)
	if err != nil {
		t.Fatal(err)
	}
	write(t, app, strings.Replace(string(data), "\thost\n", "\thost\n\n\tmine int\n", 1))
	run(root, "add", "dlq", flag)
	run(root, "add", "--", flag)
	run(root, "add", "dlq", "--conflicts", flag)
	run(root, "add", "dlq")
	run(root, "set", "database="+flag)
	run(root, "set", "database=postgres")
	run(root, "restore", "--", flag)
	run(root, "check")
	run(root, "diff")
	run(root, "undo")
	run(root, "remove", "sse", "--conflicts=theirs")
	run(root, "update")
	manifest := filepath.Join(root, "scaffold.yaml")
	if data, err = os.ReadFile(manifest); err != nil {
		t.Fatal(err)
	}
	write(t, manifest, strings.Replace(string(data), "builtin: ", "builtin: --config=x #", 1))
	run(root, "update")

	ran, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]bool)
	for line := range strings.Lines(string(ran)) {
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		switch {
		case line == "git init --quiet":
		case strings.HasPrefix(line, "go list -export -test -f {{.ImportPath}} "):
			for _, w := range words[6:] {
				if !strings.HasPrefix(w, "-overlay=/") && w != "-mod=readonly" && !strings.HasPrefix(w, "./") {
					t.Errorf("the go command got %q: %s", w, line)
				}
			}
		default:
			t.Errorf("was run: %s", line)
		}
		kinds[words[0]] = true
	}
	if !kinds["git"] || !kinds["go"] {
		t.Errorf("git and go are to be run here, or this shows nothing:\n%s", ran)
	}
	if strings.Contains(string(ran), "pwned") {
		t.Error("a file of the repository was run")
	}
}

// No secret value, of the environment or of an owner's file, is printed by a
// command, or in what is recorded, planned or kept beside an owner's own files.
func TestNoSecretIsTold(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	root := filepath.Join(top, "orders")
	var printed bytes.Buffer
	run := func(want int, args ...string) {
		cmd := exec.CommandContext(t.Context(), "scaffold", args...)
		cmd.Dir = top
		for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "UPLOAD_S3_SECRET_KEY", "GITHUB_TOKEN", "SCAFFOLD_TOKEN", "name", "Name"} {
			cmd.Env = append(cmd.Env, name+"="+theSecret)
		}
		cmd.Env = append(cmd.Env, os.Environ()...)
		cmd.Stdout, cmd.Stderr = &printed, &printed
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%v: exit code %d, want %d\n%s", args, got, want, printed.Bytes())
		}
	}
	owned := []string{".env", "secrets/key.pem", "config.local.yaml"}
	run(exitDone, "new", "orders", "--with", "upload", "--no-git")
	for _, name := range owned {
		write(t, filepath.Join(root, name), "SECRET_KEY="+theSecret+"\n")
	}
	compose := filepath.Join(root, "compose.yaml")
	data, err := os.ReadFile(compose)
	if err != nil {
		t.Fatal(err)
	}
	write(t, compose, strings.Replace(string(data), "    environment:\n", "    environment:\n      MY_SECRET: "+theSecret+"\n", 1))
	for _, args := range [][]string{
		{"add", "pubsub", "--json", "--dry-run"}, {"add", "pubsub"}, {"add", "dlq", "--json"}, {"set", "database=postgres"}, {"check"}, {"check", "--json"},
		{"diff"}, {"diff", "--json"}, {"list"}, {"list", "--json"}, {"undo"}, {"remove", "dlq"}, {"update", "--json"}, {"apply"}, {"explain", "upload"},
	} {
		run(exitDone, slices.Concat(args, []string{"--dir", root})...)
	}
	if bytes.Contains(printed.Bytes(), []byte(theSecret)) {
		t.Errorf("was printed:\n%s", printed.Bytes())
	}
	for name, text := range filesOf(t, root) {
		if strings.Contains(text, theSecret) && !slices.Contains(append(owned, "compose.yaml"), name) {
			t.Errorf("%s holds it", name)
		}
	}
	// What undo would bring back is the owner's own file, as it was, and git is told
	// to leave it alone.
	journal, err := os.ReadFile(filepath.Join(root, ".scaffold/undo/journal"))
	if err != nil || bytes.Contains(journal, []byte(theSecret)) {
		t.Errorf("what was done last: %v\n%s", err, journal)
	}
	ignored, err := os.ReadFile(filepath.Join(root, ".scaffold/.gitignore"))
	if err != nil || !slices.Contains(strings.Split(string(ignored), "\n"), "/undo/") {
		t.Errorf("git may take what undo keeps: %v\n%s", err, ignored)
	}
}

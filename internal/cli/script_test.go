package cli

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	// A sequence of commands writes some hundred files; -rapid.checks says more.
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){
		"scaffold": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)) },
	})
}

// The scripts are a user's stories, one a file.
func TestScripts(t *testing.T) {
	t.Parallel()
	// A story may build a service: with the modules that the go command has on
	// this machine, and those that it gets as it does here.
	goEnv := make(map[string]string)
	for _, name := range []string{"GOMODCACHE", "GOCACHE", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		goEnv[name] = strings.TrimSpace(string(out))
	}
	program, err := exec.LookPath("scaffold")
	if err != nil {
		t.Fatal(err)
	}
	snapshots := make(map[string]map[string]string)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			for name, value := range goEnv {
				env.Setenv(name, value)
			}
			env.Setenv("SCAFFOLD", program)
			env.Setenv("GOFLAGS", "-mod=readonly "+os.Getenv("GOFLAGS"))
			env.Setenv("GOGC", "400") // compilers that collect less garbage are done sooner
			env.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
			env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			env.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(env.WorkDir))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"snapshot": func(ts *testscript.TestScript, neg bool, args []string) { snapshot(ts, neg, args, snapshots) },
			"same":     func(ts *testscript.TestScript, neg bool, args []string) { same(ts, neg, args, snapshots) },
			"replace":  replace,
			"oneline":  oneLine,
			"crlf":     func(ts *testscript.TestScript, _ bool, args []string) { lineEnds(ts, args, "\n", "\r\n") },
			"lf":       func(ts *testscript.TestScript, _ bool, args []string) { lineEnds(ts, args, "\r\n", "\n") },
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// exits runs a command and wants its exit code: exits 3 scaffold add sse.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// snapshot remembers all that stands below a directory: snapshot NAME DIR.
func snapshot(ts *testscript.TestScript, neg bool, args []string, snapshots map[string]map[string]string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: snapshot NAME DIR")
	}
	files, err := below(ts.MkAbs(args[1]))
	ts.Check(err)
	snapshots[ts.Name()+args[0]] = files
}

// same wants all below a directory to be as a snapshot: same NAME DIR.
func same(ts *testscript.TestScript, neg bool, args []string, snapshots map[string]map[string]string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] same NAME DIR")
	}
	files, err := below(ts.MkAbs(args[1]))
	ts.Check(err)
	diff := cmp.Diff(snapshots[ts.Name()+args[0]], files)
	if (diff == "") == neg {
		ts.Fatalf("%s (-then +now):\n%s", args[1], diff)
	}
}

// below reads all files below dir, with their modes, but git's and what undo
// reads: only the clone in which a command ran has that.
func below(dir string) (map[string]string, error) {
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" || d.Name() == "undo" && filepath.Base(filepath.Dir(name)) == ".scaffold" {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		if d.Type()&fs.ModeSymlink != 0 {
			files[rel], err = os.Readlink(name)
			return err
		}
		data, err := os.ReadFile(name)
		files[rel] = info.Mode().String() + "\n" + string(data)
		return err
	})
	return files, err
}

// replace edits a file as its owner does: replace FILE OLD NEW.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	unquote := strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace
	if !strings.Contains(text, unquote(args[1])) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	text = strings.Replace(text, unquote(args[1]), unquote(args[2]), 1)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// lineEnds changes the line ends of a file: crlf FILE, lf FILE.
func lineEnds(ts *testscript.TestScript, args []string, from, to string) {
	if len(args) != 1 {
		ts.Fatalf("usage: crlf FILE, lf FILE")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, from) {
		ts.Fatalf("%s has no line that ends in %q", args[0], from)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, from, to)), 0o600))
}

// oneLine wants the last command to have printed one line on stderr.
func oneLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: oneline")
	}
	if text := ts.ReadFile("stderr"); strings.Count(text, "\n") != 1 {
		ts.Fatalf("stderr is not one line:\n%s", text)
	}
}

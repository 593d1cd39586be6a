package cli

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/templates"
)

// Whatever is wrong, one line names it and the next step, and nothing is
// written.
func TestBadInput(t *testing.T) {
	t.Parallel()
	inService := func(change func(dir string) error) func(string) error {
		return func(dir string) error {
			if code := newApp(templates.FS, nil, new(bytes.Buffer), new(bytes.Buffer), os.Getenv).run(context.Background(),
				[]string{"new", "orders", "--with", "none", "--no-git", "--dir", filepath.Join(dir, "orders")}); code != exitDone {
				return errors.New("the service could not be made")
			}
			return change(filepath.Join(dir, "orders"))
		}
	}
	edit := func(name, old, next string) func(string) error {
		return func(dir string) error {
			name := filepath.Join(dir, name)
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if !bytes.Contains(data, []byte(old)) {
				return errors.New(name + " does not have " + old)
			}
			return os.WriteFile(name, bytes.Replace(data, []byte(old), []byte(next), 1), 0o644)
		}
	}
	nothing := func(string) error { return nil }
	const newService = "new orders --with none --dir DIR/orders"
	const add = "add workers --dir DIR/orders"

	for _, tt := range []struct {
		name    string
		prepare func(dir string) error
		args    string // DIR is the folder, a tilde is a space in an argument
		code    int
		want    []string
	}{
		// The name.
		{"a name with a space", nothing, "new My~App --with none --dir DIR/x", 2, []string{`"My App"`, "lower-case letters", "as in my-app"}},
		{"a name that starts with a digit", nothing, "new 9lives --with none --dir DIR/x", 2, []string{`"9lives"`, "as in lives"}},
		{"a name with an underscore", nothing, "new my_app --with none --dir DIR/x", 2, []string{`"my_app"`, "as in my-app"}},
		{"a name that is a path", nothing, "new services/orders --with none --dir DIR/x", 2, []string{`"services/orders"`, "as in services-orders"}},
		{"a name that leads out", nothing, "new ../orders --with none --dir DIR/x", 2, []string{`"../orders"`}},
		{"a name that ends with a hyphen", nothing, "new orders- --with none --dir DIR/x", 2, []string{`"orders-"`, "as in orders"}},
		{"a name that is too long", nothing, "new " + strings.Repeat("a", 64) + " --with none --dir DIR/x", 2, []string{"up to 63"}},
		{"a name in another script", nothing, "new größe --with none --dir DIR/x", 2, []string{`"größe"`, "lower-case letters"}},
		{"a directory that go passes over", nothing, "new testdata --with none --dir DIR/x", 2, []string{`"testdata"`, "choose another"}},
		{"a device name", nothing, "new con --with none --dir DIR/x", 2, []string{`"con"`, "device name", "choose another"}},
		{"the name of a server", nothing, "new postgres --with none --dir DIR/x", 2, []string{`"postgres"`, "compose.yaml", "choose another"}},

		// The module path.
		{"a module path with a scheme", nothing, newService + " --module https://acme.com/orders", 2, []string{`"https://acme.com/orders"`, "no module path", "acme.com/orders"}},
		{"a module path with a space", nothing, newService + " --module acme.com/my~orders", 2, []string{`"acme.com/my orders"`, "invalid char ' '"}},
		{"a module path with an empty part", nothing, newService + " --module acme.com//orders", 2, []string{"double slash"}},
		{"a module path that leads up", nothing, newService + " --module acme.com/../orders", 2, []string{`"acme.com/../orders"`}},
		{"a module path of version 1", nothing, newService + " --module acme.com/orders/v1", 2, []string{`"acme.com/orders/v1"`}},
		{"a module path of Go itself", nothing, newService + " --module go", 2, []string{`"go"`, "no module path", "standard library"}},
		{"a module path of Go's toolchain", nothing, newService + " --module toolchain", 2, []string{`"toolchain"`, "toolchain"}},
		{"a module path below vendor", nothing, newService + " --module acme.com/vendor/orders", 2, []string{`"acme.com/vendor/orders"`, "vendor"}},
		{"a standard package's path", nothing, newService + " --module fmt", 2, []string{`"fmt"`, "fmt is of Go's standard library"}},
		{"the standard library's path", nothing, newService + " --module std", 2, []string{`"std"`, "standard library"}},
		{"a path below a standard package", nothing, newService + " --module net/http", 2, []string{`"net/http"`, "net is of Go's standard library"}},
		{"the path of a command of Go's", nothing, newService + " --module cmd/foo", 2, []string{`"cmd/foo"`, "standard library"}},
		{"the module path of a dependency", nothing, "new orders --with workers --dir DIR/orders --module github.com/riverqueue/river", 1, []string{"github.com/riverqueue/river"}},

		// The place.
		{"a folder that is not empty", func(dir string) error { return os.WriteFile(filepath.Join(dir, "a.txt"), nil, 0o644) },
			"new orders --with none --dir DIR", 2, []string{"is not empty (it has a.txt)", "choose another --dir"}},
		{"a file in the folder's place", func(dir string) error { return os.WriteFile(filepath.Join(dir, "orders"), nil, 0o644) },
			newService, 2, []string{"orders: is a file", "choose another --dir"}},
		{"a service that is there", inService(nothing), newService, 2, []string{"is a service that scaffold made", "scaffold add"}},
		{"a link that leads nowhere", func(dir string) error { return os.Symlink("nowhere", filepath.Join(dir, "orders")) },
			newService, 1, []string{"orders: ", "link"}},
		{"no service", nothing, "add workers --dir DIR", 2, []string{"no scaffold.yaml here or above", "scaffold new"}},
		{"no such folder", nothing, add, 2, []string{"orders: no such directory", "--dir"}},

		// Patterns and options.
		{"an unknown pattern", nothing, "new orders --with worker --dir DIR/orders", 2, []string{"worker: no such pattern", "did you mean workers?", "scaffold list"}},
		{"an unknown option", nothing, newService + " --set databse=sqlite", 2, []string{"databse: no such option", "did you mean database?"}},
		{"an unknown value", nothing, "new orders --with workers --set database=mysql --dir DIR/orders", 2, []string{"mysql: no such value of database", "sqlite, postgres"}},
		{"an option that no pattern has", nothing, newService + " --set database=sqlite", 2, []string{"database=sqlite: no selected pattern uses", "leave it out, or add database"}},

		// scaffold.yaml.
		{"an unknown key", inService(edit("scaffold.yaml", "patterns:", "pattern:")), add, 2, []string{"orders/scaffold.yaml:7: unknown key", "remove it"}},
		{"no YAML", inService(edit("scaffold.yaml", "name:", "name")), add, 2, []string{"orders/scaffold.yaml:", "take the file back from git"}},
		{"an unknown pattern in it", inService(edit("scaffold.yaml", "patterns:", "patterns:\n  - worker")), add, 2, []string{"scaffold.yaml: worker: no such pattern", "did you mean workers?"}},
		{"a bad name in it", inService(edit("scaffold.yaml", "name: orders", "name: ../orders")), add, 2, []string{`scaffold.yaml: "../orders"`}},
		{"a bad module path in it", inService(edit("scaffold.yaml", "module: example.com/orders", "module: example.com//orders")), add, 2, []string{`scaffold.yaml: "example.com//orders"`}},
		{"a newer scaffold's", inService(edit("scaffold.yaml", "builtin: "+version, "builtin: v99.1.0")), add, 1,
			[]string{"scaffold.yaml: was last written by scaffold v99.1.0, and this is " + version, "install"}},
		{"a newer scaffold's, to check", inService(edit("scaffold.yaml", "builtin: "+version, "builtin: v99.1.0")), "check --dir DIR/orders", 1, []string{"v99.1.0"}},
		{"a version that is none", inService(edit("scaffold.yaml", "builtin: "+version, "builtin: latest")), add, 2, []string{`scaffold.yaml: builtin: "latest" is no version`}},
		{"an unknown key, to list", inService(edit("scaffold.yaml", "patterns:", "pattern:")), "list --dir DIR/orders", 2, []string{"scaffold.yaml:7: unknown key"}},
		{"scaffold.yaml is gone", inService(func(dir string) error { return os.Remove(filepath.Join(dir, "scaffold.yaml")) }),
			add, 2, []string{"scaffold.yaml: is gone", "git checkout"}},
		{"the record is gone", inService(func(dir string) error { return os.RemoveAll(filepath.Join(dir, ".scaffold")) }),
			add, 1, []string{".scaffold", "git checkout"}},

		// The service's files.
		{"a go.mod that does not parse", inService(edit("go.mod", "module ", "modul ")), add, 1, []string{"go.mod:1: ", "mend the line"}},
		{"an empty go.mod", inService(func(dir string) error { return os.WriteFile(filepath.Join(dir, "go.mod"), nil, 0o644) }),
			add, 1, []string{"go.mod: has no module line", "take the file back from git"}},
		{"a go.mod without a module line", inService(edit("go.mod", "module example.com/orders", "")), add, 1, []string{"go.mod: has no module line"}},
		{"a module that was renamed in go.mod alone", inService(edit("go.mod", "module example.com/orders", "module acme.com/new")), add, 1,
			[]string{"go.mod: is of module acme.com/new, and scaffold.yaml says example.com/orders", "set `module: acme.com/new` in scaffold.yaml"}},
		{"a conflict that is not resolved", inService(edit("README.md", "A Go service.", "<<<<<<< yours\nours\n=======\ntheirs\n>>>>>>> scaffold")), add, 1,
			[]string{"README.md:3: has a conflict that is not resolved", "run this again"}},
		{"a link that leads out", inService(func(dir string) error {
			if err := os.RemoveAll(filepath.Join(dir, "internal")); err != nil {
				return err
			}
			if err := os.Mkdir(filepath.Join(dir, "../elsewhere"), 0o755); err != nil {
				return err
			}
			return os.Symlink("../elsewhere", filepath.Join(dir, "internal"))
		}), add, 1, []string{"internal: is a symbolic link that leads out of the repository", "put the file itself in its place"}},
		{"a migration with the number of one that comes", inService(func(dir string) error {
			if err := os.MkdirAll(filepath.Join(dir, "migrations"), 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "migrations/100_mine_sqlite.sql"), nil, 0o644)
		}), add, 1, []string{"migrations/100_mine_sqlite.sql: has the number of migrations/00100_workers_sqlite.sql", "from 10000 up"}},
		{"a link in a file's place", inService(func(dir string) error {
			if err := os.Remove(filepath.Join(dir, "README.md")); err != nil {
				return err
			}
			return os.Symlink("/etc/passwd", filepath.Join(dir, "README.md"))
		}), add, 1, []string{"README.md: is a symbolic link"}},
		{"a folder in a file's place", inService(func(dir string) error {
			if err := os.Remove(filepath.Join(dir, "README.md")); err != nil {
				return err
			}
			return os.Mkdir(filepath.Join(dir, "README.md"), 0o755)
		}), add, 1, []string{"README.md: is a directory", "move it away"}},
		{"a read-only file", inService(func(dir string) error { return os.Chmod(filepath.Join(dir, "go.mod"), 0o444) }),
			add, 1, []string{"go.mod: is read-only", "chmod u+w"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := tt.prepare(dir); err != nil {
				t.Fatal(err)
			}
			args := strings.Fields(tt.args)
			for i := range args {
				args[i] = strings.NewReplacer("DIR", dir, "~", " ").Replace(args[i])
			}
			refuses(t, dir, tt.code, tt.want, func(out, err *bytes.Buffer) int {
				return newApp(templates.FS, nil, out, err, os.Getenv).run(t.Context(), args)
			})
		})
	}
}

// refuses wants run to fail with a code and one line that has all of want, and
// to leave all below dir as it is.
func refuses(t *testing.T, dir string, code int, want []string, run func(out, err *bytes.Buffer) int) {
	t.Helper()
	before, err := below(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if got := run(&out, &errs); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	line := errs.String()
	if strings.Count(line, "\n") != 1 {
		t.Errorf("not one line:\n%s", line)
	}
	for _, w := range want {
		if !strings.Contains(line, w) {
			t.Errorf("does not say %q:\n%s", w, line)
		}
	}
	after, err := below(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("something was written (-before +after):\n%s", diff)
	}
}

// A catalog in which two files would come to one path is refused as it loads.
func TestTwoOwnersOfOnePath(t *testing.T) {
	t.Parallel()
	broken := fstest.MapFS{}
	err := fs.WalkDir(templates.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(templates.FS, name)
		broken[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	broken["service/Internal/httpapi/json.go"] = broken["service/internal/httpapi/json.go"]
	dir := t.TempDir()
	refuses(t, dir, exitFailed, []string{"internal/httpapi/json.go", "two owners"}, func(out, err *bytes.Buffer) int {
		return newApp(broken, nil, out, err, os.Getenv).run(t.Context(), []string{"new", "orders", "--with", "none", "--dir", filepath.Join(dir, "orders")})
	})
}

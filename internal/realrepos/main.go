// Command realrepos adds every pattern, one after the other, to well-known Go
// services at fixed versions, and sees that each still builds and that its own
// tests pass as before. It prints a Markdown table of what it saw.
//
// It is run by hand: it downloads the services and what they require from the
// module proxy, and builds each of them many times. Arguments are parts of module
// paths, and choose among the services.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A repo is one service.
type repo struct {
	module, version string
	dir             string   // the folder that is added to
	wire            string   // FILE:FUNC
	tests           []string // packages whose tests are cheap and need no server
}

var repos = []repo{
	{"github.com/mccutchen/go-httpbin/v2", "v2.26.0", ".", "httpbin/httpbin.go:HTTPBin.Handler", []string{"./httpbin/digest/..."}},
	{"github.com/Shopify/toxiproxy/v2", "v2.5.0", ".", "api.go:ApiServer.Listen", []string{"./stream/...", "./collectors/..."}},
	{"github.com/fsouza/fake-gcs-server", "v1.56.1", ".", "fakestorage/server.go:Server.buildMuxer", []string{"./internal/config/..."}},
	{"github.com/tus/tusd/v2", "v2.9.1", "cmd/tusd", "cli/serve.go:Serve", []string{"./pkg/handler/...", "./pkg/memorylocker/..."}},
	{"github.com/stripe/stripe-mock", "v0.203.0", ".", "main.go:main", []string{"./param/..."}},
	{"github.com/smallstep/certificates", "v0.30.2", ".", "ca/ca.go:CA.Init:mux", []string{"./api/read/...", "./errs/..."}},
	{"github.com/distribution/distribution/v3", "v3.1.2", ".", "registry/api/v2/routes.go:RouterWithPrefix", []string{"./configuration/...", "./registry/api/..."}},
	{"github.com/temporalio/ui-server/v2", "v2.54.0", ".", "server/server.go:NewServer", []string{"./server/..."}},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "realrepos:", err)
		os.Exit(1)
	}
}

// run prints the table on out, and tells on log what it is at. It goes on behind
// a service that fails, and fails in the end.
func run(ctx context.Context, chosen []string, out, log io.Writer) (err error) {
	tmp, err := os.MkdirTemp("", "realrepos")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	t := &trial{tmp: tmp, scaffold: filepath.Join(tmp, "scaffold"), log: log}
	if _, err := t.do(ctx, ".", "go", "build", "-o", t.scaffold, "./cmd/scaffold"); err != nil {
		return err
	}
	text, err := t.do(ctx, ".", t.scaffold, "list", "--json")
	if err != nil {
		return err
	}
	var list struct {
		Families []struct {
			Patterns []struct{ Name string }
		}
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return fmt.Errorf("scaffold list: %w", err)
	}
	for _, f := range list.Families {
		for _, p := range f.Patterns {
			t.patterns = append(t.patterns, p.Name)
		}
	}
	_, _ = fmt.Fprint(out, header)
	var errs []error
	for _, r := range repos {
		if len(chosen) > 0 && !slices.ContainsFunc(chosen, func(part string) bool { return strings.Contains(r.module, part) }) {
			continue
		}
		row, err := t.try(ctx, r)
		if err != nil {
			t.say("  %v", err)
			errs = append(errs, fmt.Errorf("%s: %w", r.module, err))
			row.failed = true
		}
		_, _ = fmt.Fprint(out, row)
	}
	return errors.Join(errs...)
}

const header = `| service | router found | database found | patterns that build | tidy at once | requirements kept / raised / new | wired by --wire | own tests |
| --- | --- | --- | --- | --- | --- | --- | --- |
`

type trial struct {
	tmp, scaffold string
	patterns      []string
	log           io.Writer
}

// A row is what was seen of one service.
type row struct {
	repo
	router, database  string
	built, untidy     int // patterns after which it built; those only after go mod tidy
	of                int
	kept, raised, new int
	wired, tests      string
	failed            bool
}

func (r row) String() string {
	name := fmt.Sprintf("[%s](https://pkg.go.dev/%s@%s) %s", strings.TrimPrefix(r.module, "github.com/"), r.module, r.version, r.version)
	if r.dir != "." {
		name += ", in `" + r.dir + "`"
	}
	built := fmt.Sprintf("%d of %d", r.built, r.of)
	if r.failed {
		built += ", then failed"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %d of %d | %d / %d / %d | %s | %s |\n",
		name, r.router, r.database, built, r.built-r.untidy, r.of, r.kept, r.raised, r.new, r.wired, r.tests)
}

// A document is what `scaffold add --json` prints, as far as it matters here.
type document struct {
	Result, Error string
	Service       struct{ Options map[string]string }
	Module        struct {
		Router  string
		Reasons []string
		Site    *struct{ File, Func string }
	}
	Plan struct {
		Steps []struct {
			Path  string
			Notes []string
		}
	}
}

// try adds the patterns to one service.
func (t *trial) try(ctx context.Context, r repo) (row, error) {
	out := row{repo: r, of: len(t.patterns), wired: "no", tests: "none run"}
	root, err := t.fetch(ctx, r)
	if err != nil {
		return out, err
	}
	defer func() { _ = os.RemoveAll(root) }()
	if _, err := t.do(ctx, root, "go", "build", "-mod=mod", "./..."); err != nil {
		return out, fmt.Errorf("before anything was added: %w", err)
	}
	var before string
	if len(r.tests) > 0 {
		before = t.test(ctx, root, r)
	}
	for _, name := range t.patterns {
		doc, err := t.add(ctx, root, r, name)
		if err != nil {
			return out, err
		}
		out.note(doc)
		if _, err := t.do(ctx, root, "go", "build", "-mod=readonly", "./..."); err != nil {
			t.say("  %s: %s", name, lastLine(err))
			if _, err := t.do(ctx, root, "go", "mod", "tidy"); err != nil {
				return out, fmt.Errorf("%s: %w", name, err)
			}
			if _, err := t.do(ctx, root, "go", "build", "./..."); err != nil {
				return out, fmt.Errorf("%s: %w", name, err)
			}
			out.untidy++
		}
		out.built++
	}
	if _, err := t.do(ctx, root, "go", "mod", "tidy"); err != nil {
		return out, err
	}
	if _, err := t.do(ctx, root, "go", "vet", "./"+r.dir+"/internal/patterns/..."); err != nil {
		return out, err
	}
	if len(r.tests) > 0 {
		after := t.test(ctx, root, r)
		out.tests = "`" + strings.Join(r.tests, " ") + "` " + before + ", then " + after
		if before != after {
			return out, fmt.Errorf("its tests: %s", out.tests)
		}
	}
	if r.wire != "" {
		if _, err := t.add(ctx, root, r, t.patterns[0], "--wire", r.wire); err != nil {
			return out, err
		}
		if _, err := t.do(ctx, root, "go", "build", "./..."); err != nil {
			return out, fmt.Errorf("wired: %w", err)
		}
		out.wired = "`" + r.wire + "`"
	}
	return out, nil
}

// fetch copies a service out of the module cache.
func (t *trial) fetch(ctx context.Context, r repo) (string, error) {
	t.say("%s@%s", r.module, r.version)
	text, err := t.do(ctx, t.tmp, "go", "mod", "download", "-json", r.module+"@"+r.version)
	if err != nil {
		return "", err
	}
	var m struct{ Dir string }
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return "", err
	}
	root := filepath.Join(t.tmp, strings.ReplaceAll(r.module, "/", "_"))
	if err := os.CopyFS(root, os.DirFS(m.Dir)); err != nil {
		return "", err
	}
	// Of a vendor folder a module's archive has the list alone.
	if err := os.RemoveAll(filepath.Join(root, "vendor")); err != nil {
		return "", err
	}
	// Files of the module cache are read-only.
	copied, err := os.OpenRoot(root)
	if err != nil {
		return "", err
	}
	defer func() { _ = copied.Close() }()
	return root, fs.WalkDir(copied.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if d.IsDir() {
			mode = 0o755
		}
		return copied.Chmod(name, mode)
	})
}

func (t *trial) add(ctx context.Context, root string, r repo, name string, more ...string) (*document, error) {
	args := append([]string{"add", name, "--json", "--dir", filepath.Join(root, r.dir)}, more...)
	text, err := t.do(ctx, root, t.scaffold, args...)
	if err != nil {
		return nil, fmt.Errorf("add %s: %w", name, err)
	}
	doc := new(document)
	if err := json.Unmarshal([]byte(text), doc); err != nil {
		return nil, fmt.Errorf("add %s: %w", name, err)
	}
	return doc, nil
}

// note counts what was merged.
func (r *row) note(doc *document) {
	r.router = doc.Module.Router
	if db := doc.Service.Options["database"]; db != "" && r.database == "" {
		r.database = db
		if slices.ContainsFunc(doc.Module.Reasons, func(s string) bool { return strings.HasPrefix(s, "no driver") }) {
			r.database = "none: " + db
		}
	}
	for _, step := range doc.Plan.Steps {
		if step.Path != "go.mod" {
			continue
		}
		for _, note := range step.Notes {
			var n int
			switch _, err := fmt.Sscanf(note, "new, indirect: %d", &n); {
			case err == nil:
				r.new += n
			case strings.HasPrefix(note, "new: "):
				r.new += strings.Count(note, ",") + 1
			case strings.Contains(note, " is kept"):
				r.kept++
			case strings.Contains(note, " is raised to "):
				r.raised++
			}
		}
	}
}

// test runs the service's own tests, and says how they ended.
func (t *trial) test(ctx context.Context, root string, r repo) string {
	if _, err := t.do(ctx, root, "go", append([]string{"test"}, r.tests...)...); err != nil {
		t.say("  tests: %s", lastLine(err))
		return "fail"
	}
	return "pass"
}

func (t *trial) say(format string, args ...any) {
	_, _ = fmt.Fprintf(t.log, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}

// do runs a command in dir and returns what it printed on stdout. The error ends
// with what it printed on stderr.
func (t *trial) do(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the commands are in this file
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOTOOLCHAIN=local", "CGO_ENABLED=0")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String(), nil
}

func lastLine(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	return lines[len(lines)-1]
}

package bill_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/gomod/bill"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

var (
	thorough = flag.Bool("thorough", false, "compare every single and every pair of the corpus with the go command")
	seed     = flag.Uint64("seed", 0, "the seed of the sampled selections (default: the clock)")
)

// startSeed returns the seed of a test's sample and logs it.
func startSeed(t *testing.T) uint64 {
	t.Helper()
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", s)
	return s
}

// A unit is a part of a service as the resolver sees it: what its files import.
type unit struct {
	imports []string            // of a file
	tests   []string            // of a test file
	tagged  map[string][]string // of a file under a build constraint
}

// corpus are units over the libraries of the templates, with imports in
// tests alone and behind tags that this host doesn't have.
var corpus = map[string]unit{
	"std":        {imports: []string{"context", "net/http", "syscall/js"}, tests: []string{"testing/synctest"}},
	"natsserver": {imports: []string{"github.com/nats-io/nats-server/v2/server"}},
	"natscore":   {imports: []string{"github.com/nats-io/nats.go"}},
	"jetstream":  {imports: []string{"github.com/nats-io/nats.go/jetstream"}, tests: []string{"github.com/nats-io/nats-server/v2/server"}},
	"river":      {imports: []string{"github.com/riverqueue/river", "github.com/riverqueue/river/rivertype"}},
	"riversqlite": {imports: []string{
		"github.com/riverqueue/river", "github.com/riverqueue/river/riverdriver/riversqlite",
		"github.com/riverqueue/river/rivermigrate", "modernc.org/sqlite",
	}},
	"riverpgx": {imports: []string{
		"github.com/riverqueue/river", "github.com/riverqueue/river/riverdriver/riverpgxv5",
		"github.com/riverqueue/river/rivermigrate", "github.com/jackc/pgx/v5/pgxpool",
	}},
	"rivertest":   {tests: []string{"github.com/riverqueue/river/rivertest"}},
	"sqlite":      {imports: []string{"database/sql", "modernc.org/sqlite"}},
	"pgx":         {imports: []string{"github.com/jackc/pgx/v5"}},
	"pgxpool":     {imports: []string{"github.com/jackc/pgx/v5/pgxpool", "github.com/jackc/pgx/v5/pgconn"}},
	"pgxstdlib":   {imports: []string{"github.com/jackc/pgx/v5/stdlib"}},
	"eitherdb":    {tagged: map[string][]string{"postgres": {"github.com/jackc/pgx/v5/pgxpool"}, "!postgres": {"modernc.org/sqlite"}}},
	"goose":       {imports: []string{"github.com/pressly/goose/v3"}},
	"awsconfig":   {imports: []string{"github.com/aws/aws-sdk-go-v2/aws", "github.com/aws/aws-sdk-go-v2/config"}},
	"s3":          {imports: []string{"github.com/aws/aws-sdk-go-v2/credentials", "github.com/aws/aws-sdk-go-v2/service/s3"}},
	"s3dev":       {tagged: map[string][]string{"dev": {"github.com/versity/versitygw/embedgw"}}},
	"s3posix":     {tests: []string{"github.com/versity/versitygw/backend/posix"}},
	"env":         {imports: []string{"github.com/caarlos0/env/v11"}},
	"prometheus":  {imports: []string{"github.com/prometheus/client_golang/prometheus", "github.com/prometheus/client_golang/prometheus/promhttp"}},
	"promtest":    {tests: []string{"github.com/prometheus/client_golang/prometheus/testutil"}},
	"otel":        {imports: []string{"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/trace"}},
	"otelsdk":     {imports: []string{"go.opentelemetry.io/otel/sdk/trace"}, tests: []string{"go.opentelemetry.io/otel/sdk/trace/tracetest"}},
	"otlp":        {imports: []string{"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"}},
	"otelhttp":    {imports: []string{"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"}},
	"goleak":      {tests: []string{"go.uber.org/goleak"}},
	"cmp":         {tests: []string{"github.com/google/go-cmp/cmp"}},
	"rapid":       {tests: []string{"pgregory.net/rapid"}},
	"sync":        {imports: []string{"golang.org/x/sync/errgroup"}},
	"time":        {imports: []string{"golang.org/x/time/rate"}},
	"embeddedpg":  {tests: []string{"github.com/fergusstrange/embedded-postgres"}},
	"windowsonly": {tagged: map[string][]string{"windows && !cgo": {"golang.org/x/sys/windows/svc"}, "ignore": {"example.com/never"}}},
}

// files returns the tree of a service with these units.
func files(modulePath string, names []string) tree.Tree {
	t := tree.Tree{}
	add := func(dir, file, constraint string, imports []string) {
		var b strings.Builder
		if constraint != "" {
			fmt.Fprintf(&b, "//go:build %s\n\n", constraint)
		}
		fmt.Fprintf(&b, "package %s\n\nimport (\n", dir)
		for _, imp := range imports {
			fmt.Fprintf(&b, "\t_ %q\n", imp)
		}
		b.WriteString(")\n")
		t["internal/"+dir+"/"+file] = tree.File{Data: []byte(b.String())}
	}
	main := "package main\n\nimport (\n"
	for _, name := range names {
		u := corpus[name]
		add(name, name+".go", "", u.imports)
		if u.tests != nil {
			add(name, name+"_test.go", "", u.tests)
		}
		for i, c := range slices.Sorted(maps.Keys(u.tagged)) {
			add(name, fmt.Sprintf("tagged%d_linux.go", i), c, u.tagged[c])
		}
		main += fmt.Sprintf("\t_ %q\n", modulePath+"/internal/"+name)
	}
	t["cmd/app/main.go"] = tree.File{Data: []byte(main + ")\n\nfunc main() {}\n")}
	return t
}

var build = sync.OnceValues(func() (*gomod.Universe, error) {
	var imports []string
	for _, u := range corpus {
		imports = append(imports, u.imports...)
		imports = append(imports, u.tests...)
		for c, list := range u.tagged {
			if c != "ignore" {
				imports = append(imports, list...)
			}
		}
	}
	slices.Sort(imports)
	u, _, err := bill.Build(context.Background(), "../../..", slices.Compact(imports))
	return u, err
})

// universe returns the corpus's own universe, through its text form.
func universe(t *testing.T) *gomod.Universe {
	t.Helper()
	u, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// tidyDiff returns what `go mod tidy -diff` prints for a service, or how it
// failed.
func tidyDiff(t *testing.T, files tree.Tree, mod, sum []byte) string {
	t.Helper()
	out, err := goIn(t, files, mod, sum, "GOFLAGS=-mod=mod", "mod", "tidy", "-diff")
	if err != nil && out == "" {
		return err.Error()
	}
	return out
}

// goIn runs the go command in a service.
func goIn(t *testing.T, files tree.Tree, mod, sum []byte, env string, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, f := range files {
		put(t, filepath.Join(dir, filepath.FromSlash(name)), f.Data)
	}
	put(t, filepath.Join(dir, "go.mod"), mod)
	put(t, filepath.Join(dir, "go.sum"), sum)
	cmd := exec.CommandContext(t.Context(), "go", args...) //nolint:gosec // the tests' own arguments
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env, "GOWORK=off", "GOTOOLCHAIN=local", "PWD="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("go %s: %w\n%s", args[0], err, stderr.Bytes())
	}
	return string(out), err
}

func TestTidyAgrees(t *testing.T) {
	t.Parallel()
	u := universe(t)
	var selections [][]string
	names := slices.Sorted(maps.Keys(corpus))
	s := startSeed(t)
	rnd := rand.New(rand.NewPCG(s, 0)) //nolint:gosec // a sample, not a secret
	random := func() []string {
		var list []string
		share := rnd.Float64()
		for _, n := range names {
			if rnd.Float64() < share {
				list = append(list, n)
			}
		}
		return list
	}
	selections = append(selections, nil, names)
	if *thorough {
		for i, a := range names {
			selections = append(selections, []string{a})
			for _, b := range names[i+1:] {
				selections = append(selections, []string{a, b})
			}
		}
		for range 200 {
			selections = append(selections, random())
		}
	} else {
		for range 6 {
			selections = append(selections, []string{names[rnd.IntN(len(names))]}, random())
		}
	}
	for _, sel := range selections {
		t.Run(strings.Join(sel, "+"), func(t *testing.T) {
			t.Parallel()
			files := files("example.com/app", sel)
			mod, sum, err := u.Resolve("example.com/app", files)
			if err != nil {
				t.Fatal(err)
			}
			if diff := tidyDiff(t, files, mod, sum); diff != "" {
				t.Errorf("go mod tidy -diff:\n%s", diff)
			}
		})
	}
}

func TestEncodeDecode(t *testing.T) {
	t.Parallel()
	u := universe(t)
	text := u.Encode()
	got, err := gomod.Decode(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Encode(), text) {
		t.Error(cmp.Diff(string(text), string(got.Encode())))
	}
}

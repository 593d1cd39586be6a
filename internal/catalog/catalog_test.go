package catalog_test

import (
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/templates"
)

const index = `
families:
  - {name: foundation, title: Foundation, summary: s, patterns: [store]}
  - {name: async, title: Async, summary: s, patterns: [jobs, retry, cron]}
options:
  - {name: store, title: Store, pattern: store, default: file, values: [{name: file}, {name: server}], set: {by_hand: [h], by_itself: [i]}}
`

func manifest(name, family, more string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("name: " + name + "\nfamily: " + family +
		"\ntitle: T\nsummary: s\nguidance: {use: u, avoid: a, start: s, next: n}\n" + more)}
}

// small is a catalog of four patterns.
func small() fstest.MapFS {
	return fstest.MapFS{
		"catalog.yaml":                       {Data: []byte(index)},
		"patterns/store.yaml":                manifest("store", "foundation", ""),
		"patterns/jobs.yaml":                 manifest("jobs", "async", "requires: [store]"),
		"patterns/retry.yaml":                manifest("retry", "async", "requires: [jobs]"),
		"patterns/cron.yaml":                 manifest("cron", "async", "conflicts: [retry]"),
		"service/cmd/service/main.go":        {Data: []byte("package main\n")},
		"service/cmd/service/app.go":         {Data: []byte("package main\n")},
		"service/cmd/service/app.go.tmpl":    {Data: []byte("package main\n")},
		"service/cmd/service/jobs.go":        {Data: []byte("package main\n")},
		"service/cmd/service/cron_jobs.go":   {Data: []byte("package main\n")},
		"service/internal/jobs/retry_x.go":   {Data: []byte("package jobs\n")},
		"service/internal/jobs/jobs_test.go": {Data: []byte("package jobs\n")},
		"service/migrations/1_jobs_file.sql": {Data: []byte("SELECT 1;\n")},
		"service/docs/patterns/retry.md":     {Data: []byte("# Retry\n")},
		"service/script":                     {Data: []byte("#!/bin/sh\n")},
	}
}

func load(t testing.TB, fsys fs.FS) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFilesBelongToWhomTheyAreNamedAfter(t *testing.T) {
	t.Parallel()
	got := make(map[string]string)
	for _, f := range load(t, small()).Files {
		got[f.Path] = strings.Join(f.Patterns, "+") + " " + f.Value
		if want := f.Path == "script"; f.Exec != want {
			t.Errorf("%s: executable %t", f.Path, f.Exec)
		}
	}
	want := map[string]string{
		"cmd/service/main.go":        " ",
		"cmd/service/app.go.tmpl":    " ",
		"cmd/service/jobs.go":        "jobs ",
		"cmd/service/cron_jobs.go":   "cron+jobs ",
		"internal/jobs/retry_x.go":   "jobs+retry ",
		"internal/jobs/jobs_test.go": "jobs ",
		"migrations/1_jobs_file.sql": "jobs file",
		"docs/patterns/retry.md":     "retry ",
		"script":                     " ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
}

func TestLoadRefusesWhatDoesNotFitTogether(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		file string
		data string
		want string
	}{
		"an unknown key":                     {"patterns/jobs.yaml", "name: jobs\nfamily: async\nfiles: [a]\n", "patterns/jobs.yaml: unmarshal errors: line 3: field files not found"},
		"no YAML":                            {"catalog.yaml", "families: [", "catalog.yaml: line 1"},
		"a manifest that is not listed":      {"patterns/more.yaml", "name: more\n", "patterns/more.yaml: not listed in catalog.yaml"},
		"another name":                       {"patterns/jobs.yaml", "name: job\nfamily: async\n", `patterns/jobs.yaml: name: "job", listed as "jobs"`},
		"another family":                     {"patterns/jobs.yaml", "name: jobs\nfamily: files\n", `patterns/jobs.yaml: family: "files", listed under "async"`},
		"no guidance":                        {"patterns/jobs.yaml", "name: jobs\nfamily: async\ntitle: T\nsummary: s\n", "patterns/jobs.yaml: title, summary and all four lines of guidance must be given"},
		"a requirement listed later":         {"patterns/store.yaml", string(manifest("store", "foundation", "requires: [jobs]").Data), "patterns/store.yaml: requires jobs, which catalog.yaml does not list before it"},
		"a join with what is listed later":   {"patterns/store.yaml", string(manifest("store", "foundation", "joins: [{with: [jobs], routes: [GET /x]}]").Data), "patterns/store.yaml: joins jobs, which catalog.yaml does not list before it"},
		"a join with nothing":                {"patterns/store.yaml", string(manifest("store", "foundation", "joins: [{with: [jobs]}]").Data), "patterns/store.yaml: joins: with and routes must be given"},
		"a conflict with nothing":            {"patterns/store.yaml", string(manifest("store", "foundation", "conflicts: [x]").Data), "patterns/store.yaml: names x, which is no pattern"},
		"two owners of one path":             {"service/cmd/service/Jobs.go", "package main\n", "has two owners"},
		"a path that Windows refuses":        {"service/aux.go", "package x\n", "device name"},
		"a default that is no value":         {"catalog.yaml", strings.Replace(index, "default: file", "default: disk", 1), `option store: the default "disk" is none of its values`},
		"an option that says not what to do": {"catalog.yaml", strings.Replace(index, "by_hand: [h]", "by_hand: []", 1), `option store: set: say what`},
		"an option of no pattern":            {"catalog.yaml", strings.Replace(index, "pattern: store", "pattern: x", 1), `option store: no pattern "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys := small()
			fsys[tt.file] = &fstest.MapFile{Data: []byte(tt.data)}
			_, err := catalog.Load(fsys)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	c := load(t, small())
	for name, tt := range map[string]struct {
		patterns []string
		options  map[string]string
		want     []string
		added    []catalog.Added
		err      string
	}{
		"nothing":                         {},
		"what is required, first":         {patterns: []string{"retry"}, want: []string{"store", "jobs", "retry"}, added: []catalog.Added{{Pattern: "jobs", By: "retry"}, {Pattern: "store", By: "jobs"}}},
		"what was asked for is not added": {patterns: []string{"jobs", "store"}, want: []string{"store", "jobs"}},
		"twice is once":                   {patterns: []string{"store", "store"}, want: []string{"store"}},
		"a conflict":                      {patterns: []string{"cron", "retry"}, err: "cron and retry can't be in one service"},
		"an unknown pattern":              {patterns: []string{"job"}, err: "job: no such pattern; did you mean jobs? (see `scaffold list`)"},
		"nothing near":                    {patterns: []string{"kubernetes"}, err: "kubernetes: no such pattern (see `scaffold list`)"},
		"an option":                       {patterns: []string{"store"}, options: map[string]string{"store": "server"}, want: []string{"store"}},
		"an unknown option":               {options: map[string]string{"stor": "x"}, err: "stor: no such option; did you mean store? (there are: store)"},
		"an unknown value":                {patterns: []string{"store"}, options: map[string]string{"store": "serve"}, err: "serve: no such value of store; did you mean server? (there are: file, server)"},
		"an option of no chosen pattern":  {options: map[string]string{"store": "server"}, err: "store=server: no selected pattern uses the option store"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, added, err := c.Resolve(tt.patterns, tt.options)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error: %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, s.Patterns); diff != "" {
				t.Errorf("patterns (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.added, added); diff != "" {
				t.Errorf("added (-want +got):\n%s", diff)
			}
			for name, value := range tt.options {
				if s.Options[name] != value {
					t.Errorf("option %s is %q, want %q", name, s.Options[name], value)
				}
			}
		})
	}
}

func TestUnknownNamesAreTyped(t *testing.T) {
	t.Parallel()
	var unknown *catalog.UnknownError
	_, err := load(t, small()).Find("rerty")
	if !errors.As(err, &unknown) {
		t.Fatalf("Find: %v", err)
	}
	if diff := cmp.Diff([]string{"retry"}, unknown.Nearest); diff != "" {
		t.Errorf("nearest (-want +got):\n%s", diff)
	}
}

// embedded is the catalog that scaffold is built with.
func embedded(t testing.TB) *catalog.Catalog {
	t.Helper()
	return load(t, templates.FS)
}

func file(t testing.TB, c *catalog.Catalog, path string) (string, bool) {
	t.Helper()
	i := slices.IndexFunc(c.Files, func(f catalog.File) bool { return f.Path == path })
	if i < 0 {
		return "", false
	}
	return string(c.Files[i].Data), true
}

var variable = regexp.MustCompile("`env:\"([A-Z0-9_]+)")

// README's table of the base service's settings has all of them.
func TestReadmeNamesTheSettingsOfTheBase(t *testing.T) {
	t.Parallel()
	c := embedded(t)
	readme, ok := file(t, c, "README.md.tmpl")
	if !ok {
		t.Fatal("no README.md.tmpl")
	}
	for _, f := range c.Files {
		if len(f.Patterns) > 0 {
			continue
		}
		for _, v := range variable.FindAllSubmatch(f.Data, -1) {
			if !strings.Contains(readme, "`"+string(v[1])+"`") {
				t.Errorf("README.md.tmpl does not name %s of %s", v[1], f.Path)
			}
		}
	}
}

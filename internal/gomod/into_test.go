package gomod_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
)

const patternsMod = `module acme.example/shop

go 1.26.0

require (
	acme.example/a v1.2.0
	acme.example/b v1.0.0
)

require acme.example/c v0.5.0 // indirect
`

func nothingCached(string, string) gomod.Known { return gomod.Known{} }

// What one of theirs requires of one of ours is raised, and the other way round,
// as far as it is cached.
func TestFinishRaises(t *testing.T) {
	t.Parallel()
	theirs := "module acme.example/shop\n\ngo 1.26.0\n\nrequire (\n\tacme.example/y v1.0.0\n\tacme.example/z v1.0.0\n)\n"
	merged := strings.Replace(patternsMod, "require (\n", "require (\n\tacme.example/y v1.0.0\n\tacme.example/z v1.0.0\n", 1)
	cached := map[string]gomod.Known{
		"acme.example/z@v1.0.0": {Mod: []byte("module acme.example/z\n\nrequire (\n\tacme.example/b v1.1.0\n\tacme.example/new v1.0.0\n)\n")},
		"acme.example/b@v1.1.0": {Mod: []byte("module acme.example/b\n\nrequire acme.example/y v1.3.0\n"), ModSum: "h1:bm", ZipSum: "h1:bz"},
		"acme.example/y@v1.3.0": {ModSum: "h1:ym"},
	}
	got, err := gomod.Finish([]byte(theirs), []byte(merged), []byte(patternsMod), func(path, version string) gomod.Known { return cached[path+"@"+version] })
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"acme.example/b v1.1.0\n", "acme.example/y v1.3.0\n", "acme.example/z v1.0.0\n"} {
		if !strings.Contains(string(got.Mod), want) {
			t.Errorf("go.mod lacks %q:\n%s", want, got.Mod)
		}
	}
	for _, want := range []string{"acme.example/b v1.1.0 h1:bz\nacme.example/b v1.1.0/go.mod h1:bm\n", "acme.example/y v1.3.0/go.mod h1:ym\n"} {
		if !strings.Contains(string(got.Sums), want) {
			t.Errorf("the sums lack %q:\n%s", want, got.Sums)
		}
	}
	if !strings.Contains(strings.Join(got.Notes, "\n"), "acme.example/y: v1.0.0 is raised to v1.3.0, which others require") {
		t.Errorf("notes: %q", got.Notes)
	}
}

func TestFinish(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		theirs, merged string
		notes          []string
		complete       bool
		err            string
	}{
		"nothing was required": {
			theirs: "module acme.example/shop\n\ngo 1.26.0\n",
			merged: patternsMod,
			notes:  []string{"new: acme.example/a v1.2.0, acme.example/b v1.0.0", "new, indirect: 1 modules"}, complete: true,
		},
		"some versions are higher, some lower": {
			theirs: "module acme.example/shop\n\ngo 1.20\n\nrequire (\n\tacme.example/a v1.1.0\n\tacme.example/b v1.5.0\n)\n",
			merged: strings.Replace(patternsMod, "b v1.0.0", "b v1.5.0", 1),
			notes: []string{
				"go: 1.20 is raised to 1.26.0, which the patterns need; from 1.22 on, each turn of a for loop has variables of its own, and net/http's patterns take methods and wildcards; from 1.24 on, go vet, which go test runs, refuses fmt.Printf(text) with no constant format",
				"acme.example/a: v1.1.0 is raised to v1.2.0",
				"acme.example/b: your v1.5.0 is kept, above the v1.0.0 that the patterns are tested with",
				"new, indirect: 1 modules",
			},
		},
		"a module that the patterns do not know": {
			theirs: "module acme.example/shop\n\ngo 1.27\n\nrequire acme.example/z v1.0.0\n",
			merged: strings.Replace(patternsMod, "go 1.26.0", "go 1.27\n\nrequire acme.example/z v1.0.0", 1),
			notes:  []string{"new: acme.example/a v1.2.0, acme.example/b v1.0.0", "new, indirect: 1 modules"},
		},
		"a replacement": {
			theirs: "module acme.example/shop\n\ngo 1.26.0\n\nreplace acme.example/a => ../a\n",
			merged: patternsMod + "\nreplace acme.example/a => ../a\n",
			notes: []string{
				"new: acme.example/a v1.2.0, acme.example/b v1.0.0", "new, indirect: 1 modules",
				"acme.example/a: your replace wins: it is built from ../a, which the patterns were not tested with",
			}, complete: true,
		},
		"a toolchain that is too old": {
			theirs: "module acme.example/shop\n\ngo 1.24.0\n\ntoolchain go1.25.1\n",
			merged: strings.Replace(patternsMod, "go 1.26.0", "go 1.26.0\n\ntoolchain go1.25.1", 1),
			notes: []string{
				"go: 1.24.0 is raised to 1.26.0, which the patterns need",
				"new: acme.example/a v1.2.0, acme.example/b v1.0.0", "new, indirect: 1 modules",
				"toolchain: go1.25.1 is taken out, since go 1.26.0 asks for more",
			}, complete: true,
		},
		"a version that is excluded": {
			theirs: "module acme.example/shop\n\ngo 1.26.0\n\nexclude acme.example/a v1.2.0\n",
			merged: patternsMod + "\nexclude acme.example/a v1.2.0\n",
			err:    "go.mod: excludes acme.example/a@v1.2.0",
		},
		"a version that is excluded and not selected": {
			theirs: "module acme.example/shop\n\ngo 1.26.0\n\nrequire acme.example/a v1.3.0\n\nexclude acme.example/a v1.2.0\n",
			merged: strings.Replace(patternsMod, "a v1.2.0", "a v1.3.0", 1) + "\nexclude acme.example/a v1.2.0\n",
			notes: []string{
				"acme.example/a: your v1.3.0 is kept, above the v1.2.0 that the patterns are tested with",
				"new: acme.example/b v1.0.0", "new, indirect: 1 modules",
			},
		},
		"no list of what is indirect": {
			theirs: "module acme.example/shop\n\nrequire acme.example/z v1.0.0\n",
			merged: patternsMod,
			err:    "run `go mod tidy -go=1.17`",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := gomod.Finish([]byte(tt.theirs), []byte(tt.merged), []byte(patternsMod), nothingCached)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q in it", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.notes, got.Notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
			if got.Complete != tt.complete {
				t.Errorf("complete: %t", got.Complete)
			}
			if strings.Contains(string(got.Mod), "toolchain") {
				t.Errorf("go.mod:\n%s", got.Mod)
			}
		})
	}
}

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
				"go: 1.20 is raised to 1.26.0, which the patterns need; from 1.22 on, each turn of a for loop has variables of its own, and net/http's patterns take methods and wildcards",
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
			got, err := gomod.Finish([]byte(tt.theirs), []byte(tt.merged), []byte(patternsMod))
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

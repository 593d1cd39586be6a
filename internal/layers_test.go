// Package internal holds a test of how the packages below it depend on each
// other.
package internal

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/seed-d146d9dc/scaffold/"

// layers lists the packages from the top. A package imports only such that
// stand in a later line.
var layers = [][]string{
	{"cmd/scaffold"},
	{"internal/cli"},
	{"internal/ask", "internal/render", "internal/plan", "internal/apply", "internal/record", "internal/foreign"},
	{"internal/catalog", "internal/gomod", "internal/merge", "internal/typecheck", "internal/worktree"},
	{"internal/tree", "templates"},
}

// owners lists the packages that alone import a dependency.
var owners = map[string]string{
	"github.com/AlecAivazis/survey/v2": "internal/ask",
	"github.com/Masterminds/sprig/v3":  "internal/render",
	"github.com/spf13/cobra":           "internal/cli",
	"github.com/aymanbagabas/go-udiff": "internal/cli",
}

func TestImportsGoDown(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "../cmd/...", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	level := func(name string) int {
		return slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, name) })
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, i := range p.Imports {
			for dependency, owner := range owners {
				if (i == dependency || strings.HasPrefix(i, dependency+"/")) && name != owner {
					t.Errorf("%s imports %s, which is for %s alone", name, i, owner)
				}
			}
			below, ours := strings.CutPrefix(i, module)
			if !ours || level(name) < 0 {
				continue
			}
			seen++
			if level(below) <= level(name) {
				t.Errorf("%s imports %s, which is not below it", name, below)
			}
		}
	}
	if seen == 0 {
		t.Error("no import was looked at")
	}
}

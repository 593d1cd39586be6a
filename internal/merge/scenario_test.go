package merge_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/seed-d146d9dc/scaffold/internal/merge"
)

var kinds = map[string]merge.Kind{
	"go": merge.Go, "gomod": merge.GoMod, "gosum": merge.GoSum, "yaml": merge.YAML,
}

// TestScenarios runs testdata/<kind>/*.txtar: the files base, ours and theirs,
// what they merge to in want, and what is to decide in conflicts.
func TestScenarios(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds {
		files, err := filepath.Glob("testdata/" + name + "/*.txtar")
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %d scenarios, error %v", name, len(files), err)
		}
		for _, file := range files {
			t.Run(name+"/"+strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
				t.Parallel()
				archive, err := txtar.ParseFile(file)
				if err != nil {
					t.Fatal(err)
				}
				in := map[string][]byte{}
				for _, f := range archive.Files {
					in[f.Name] = f.Data
				}
				checkLaws(t, kind, in["base"], in["ours"], in["theirs"])
				got := merge.Merge(kind, in["base"], in["ours"], in["theirs"], labels)
				if diff := cmp.Diff(string(in["want"]), string(got.Data)); diff != "" {
					t.Errorf("merged (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(string(in["conflicts"]), showConflicts(got)); diff != "" {
					t.Errorf("conflicts (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(string(in["notes"]), lines(got.Notes)); diff != "" {
					t.Errorf("notes (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func showConflicts(r merge.Result) string {
	var b strings.Builder
	for _, c := range r.Conflicts {
		fmt.Fprintf(&b, "%s %d-%d: %s\n", c.Reason, c.Start, c.End, c.Why)
	}
	return b.String()
}

func lines(notes []string) string {
	var b strings.Builder
	for _, n := range notes {
		b.WriteString(n + "\n")
	}
	return b.String()
}

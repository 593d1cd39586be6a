package typecheck

import (
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTags(t *testing.T) {
	t.Parallel()
	other := "windows"
	if runtime.GOOS == other {
		other = "linux"
	}
	type files map[string]string
	for _, tt := range []struct {
		name         string
		files        files
		tags, unseen []string
	}{
		{"none", files{"a.go": "", "b/b_" + runtime.GOOS + ".go": "", "c.go": runtime.GOOS + " && !integration", "_d.go": "x"}, nil, nil},
		{"one for two files", files{"a.go": "integration", "b/b_test.go": "integration && !e2e"}, []string{"integration"}, nil},
		{"of which one will do", files{"a.go": "e2e", "b.go": "integration || e2e"}, []string{"e2e"}, nil},
		{"that exclude each other", files{"a.go": "postgres", "b.go": "sqlite"}, []string{"postgres", "sqlite"}, nil},
		{"together", files{"a.go": "slow && !(!my_linux && !x)"}, []string{"slow,my_linux,x"}, nil},
		{"of a file that is no Go", files{"a.go": "integration\n\nnot Go"}, []string{"integration"}, nil},
		{"of no build", files{"a.go": "ignore", "b.go": "x && !x"}, nil, []string{"a.go (build constraint ignore)", "b.go (build constraint x && !x)"}},
		{"of other systems", files{"a_" + other + ".go": "", "b.go": other + " || race", "c_" + other + "_test.go": "e2e"}, nil,
			[]string{"a_" + other + ".go (its name)", "b.go (build constraint " + other + " || race)", "c_" + other + "_test.go (build constraint e2e)"}},
		{"too many", files{"a.go": "a", "b.go": "b", "c.go": "c", "d.go": "d", "e.go": "e", "f.go": "a || e"}, []string{"a", "b", "c", "d"}, []string{"e.go (build constraint e)"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			texts := make(map[string][]byte)
			for name, line := range tt.files {
				text := "package x\n"
				if line != "" {
					text = "//go:build " + line + "\n\n" + text
				}
				texts[name] = []byte(text)
			}
			tags, unseen := Tags(texts)
			if diff := cmp.Diff([][]string{tt.tags, tt.unseen}, [][]string{tags, unseen}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

package apply

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A repository can bring its own .scaffold/stage. hostile makes one in top/repo,
// with links that lead out of it and into .git.
func hostile(t testing.TB, top string) (root string) {
	t.Helper()
	root = filepath.Join(top, "repo")
	put(t, top, "out/secret", "secret\n", 0o644)
	if err := os.Mkdir(filepath.Join(top, "out/empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, root, ".git/config", "[core]\n", 0o644)
	put(t, root, "mine", "mine\n", 0o644)
	if err := os.MkdirAll(filepath.Join(root, ".scaffold/stage"), 0o755); err != nil {
		t.Fatal(err)
	}
	for at, to := range map[string]string{
		"out":                    "../out",
		"abs":                    filepath.Join(top, "out"),
		"git":                    ".git",
		"chain":                  "out",
		".scaffold/stage/0.old":  "../../../out/secret",
		".scaffold/stage/1.old":  "../../.git/config",
		".scaffold/stage/2.old":  filepath.Join(top, "out", "secret"),
		".scaffold/stage/subdir": "../../../out",
	} {
		if err := os.Symlink(to, filepath.Join(root, at)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// spared is what a hostile stage must not reach.
func spared(t testing.TB, top string) map[string]string {
	t.Helper()
	got := snapshot(t, top)
	for p := range got {
		if strings.HasPrefix(p, "repo/.scaffold/stage") || p == "repo/.scaffold" {
			delete(got, p)
		}
	}
	return got
}

func TestHostileJournal(t *testing.T) {
	t.Parallel()
	secret, config, mine := hash(file("secret\n")), hash(file("[core]\n")), hash(file("mine\n"))
	for name, j := range map[string]journal{
		"delete through a link":       {Changes: []entry{{"out/secret", "", secret}}},
		"delete through a chain":      {Changes: []entry{{"chain/secret", "", secret}}},
		"delete by an absolute link":  {Changes: []entry{{"abs/secret", "", secret}}},
		"delete in git by a link":     {Changes: []entry{{"git/config", "", config}}},
		"delete in git":               {Changes: []entry{{".git/config", "", config}}},
		"delete above":                {Changes: []entry{{"../out/secret", "", secret}}},
		"delete by the absolute path": {Changes: []entry{{"/out/secret", "", secret}}},
		"put what a link leads to":    {Changes: []entry{{"new", secret, ""}, {"new2", config, ""}, {"new3", secret, ""}}},
		"put through a link":          {Changes: []entry{{"x", "", ""}, {"x", "", ""}, {"x", "", ""}, {"git/hook", mine, ""}}},
		"remove what is no directory": {Made: []string{"mine"}},
		"remove a link":               {Made: []string{"out"}},
		"remove through a link":       {Made: []string{"out/empty", "abs/empty", "chain/empty"}},
		"remove above":                {Made: []string{"../out/empty"}},
		"make above":                  {Pruned: []directory{{"../out/new", 0o777}}},
		"make through a link":         {Changes: []entry{{"out/new/x", mine, ""}}, Pruned: []directory{{"out/new", 0o777}}},
		"no hash":                     {Changes: []entry{{"mine", "", notAFile}}},
		"delete what is a link":       {Changes: []entry{{"out", "", notAFile}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			root := hostile(t, top)
			put(t, root, ".scaffold/stage/3.old", "mine\n", 0o644)
			j.Version = journalVersion
			text, err := json.Marshal(j)
			if err != nil {
				t.Fatal(err)
			}
			put(t, root, journalFile, string(text), 0o644)
			before := spared(t, top)
			out, err := Recover(t.Context(), root)
			t.Logf("%v, %v", out, err)
			if diff := cmp.Diff(before, spared(t, top)); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

func TestHostileStage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		setup func(root string) error
		want  string
	}{
		{"the record is a link", func(root string) error {
			return os.Symlink(".git", filepath.Join(root, ".scaffold"))
		}, ".scaffold: is no directory"},
		{"the record is a link out", func(root string) error {
			return os.Symlink("../out", filepath.Join(root, ".scaffold"))
		}, ".scaffold: is no directory"},
		{"the stage is a link", func(root string) error {
			if err := os.Mkdir(filepath.Join(root, ".scaffold"), 0o755); err != nil {
				return err
			}
			return os.Symlink("../.git", filepath.Join(root, ".scaffold/stage"))
		}, ".scaffold/stage: is no directory"},
		{"the rest is a link", func(root string) error {
			if err := os.Mkdir(filepath.Join(root, ".scaffold"), 0o755); err != nil {
				return err
			}
			return os.Symlink("../.git", filepath.Join(root, ".scaffold/done"))
		}, ".scaffold/done: is no directory"},
		{"the journal is a link", func(root string) error {
			if err := os.MkdirAll(filepath.Join(root, ".scaffold/stage"), 0o755); err != nil {
				return err
			}
			return os.Symlink("../../.git/config", filepath.Join(root, journalFile))
		}, ".scaffold/stage/journal: is no journal"},
		{"the journal is a directory", func(root string) error {
			return os.MkdirAll(filepath.Join(root, journalFile), 0o755)
		}, ".scaffold/stage/journal: is no journal"},
		{"the journal is not JSON", func(root string) error {
			if err := os.MkdirAll(filepath.Join(root, ".scaffold/stage"), 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(root, journalFile), []byte("{"), 0o644)
		}, "compare the files with git, then delete .scaffold/stage"},
		{"the journal is of another version", func(root string) error {
			if err := os.MkdirAll(filepath.Join(root, ".scaffold/stage"), 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(root, journalFile), []byte(`{"version":2}`), 0o644)
		}, "another version of scaffold (format 2)"},
		{"the earlier content is not there", func(root string) error {
			if err := os.MkdirAll(filepath.Join(root, ".scaffold/stage"), 0o755); err != nil {
				return err
			}
			j := journal{Version: journalVersion, Changes: []entry{{"go.mod", hash(file("x")), ""}}}
			text, err := json.Marshal(j)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(root, journalFile), text, 0o644)
		}, "go.mod: its earlier content is not in .scaffold/stage/0.old; take it from git"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			root := filepath.Join(top, "repo")
			put(t, top, "out/secret", "secret\n", 0o644)
			put(t, root, ".git/config", "[core]\n", 0o644)
			if err := tt.setup(root); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, top)
			_, rerr := Recover(t.Context(), root)
			aerr := Apply(t.Context(), root, []Change{ch("x", nil, file("x"))})
			for _, err := range []error{rerr, aerr} {
				if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want %q", err, tt.want)
				}
			}
			if diff := cmp.Diff(before, snapshot(t, top)); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

// Whatever a journal says, nothing outside of the root and nothing of git's is
// touched, and no file of the owner's goes unless it is what the journal made.
func FuzzRecover(f *testing.F) {
	secret, config := hash(file("secret\n")), hash(file("[core]\n"))
	f.Add("out/secret", "", secret, "out/empty", "out/new")
	f.Add("git/config", config, secret, ".git", ".GIT/x")
	f.Add("../out/secret", "", secret, "..", "/")
	f.Add("a/../../out/secret", secret, "", "a/..", "c:")
	f.Add(".scaffold/stage/subdir/secret", "", secret, ".scaffold/stage/subdir/empty", ".scaffold")
	f.Add(".scaffold/stage/0.old", secret, "", ".scaffold/stage", ".scaffold/stage/subdir/x")
	f.Fuzz(func(t *testing.T, p, before, after, made, pruned string) {
		top := t.TempDir()
		root := hostile(t, top)
		text, err := json.Marshal(journal{
			Version: journalVersion,
			Changes: []entry{{p, before, after}, {p, after, before}},
			Made:    []string{made},
			Pruned:  []directory{{pruned, 0o777}},
		})
		if err != nil {
			t.Fatal(err)
		}
		put(t, root, journalFile, string(text), 0o644)
		want := spared(t, top)
		out, err := Recover(t.Context(), root)
		if diff := cmp.Diff(want, spared(t, top)); diff != "" {
			t.Errorf("%v, %v: (-before +after):\n%s", out, err, diff)
		}
	})
}

// The same for what undo reads: whatever it says was there before, taking it back
// reaches nothing outside of the root and nothing of git's.
func FuzzReadLast(f *testing.F) {
	secret, config, mine := hash(file("secret\n")), hash(file("[core]\n")), hash(file("mine\n"))
	f.Add("out/secret", "", secret, "0.old", "../../../out/secret")
	f.Add("../out/secret", mine, secret, "0.old", "")
	f.Add(".git/config", mine, config, "0.old", "")
	f.Add(".GIT/hooks/pre-commit", mine, "", "0.old", "")
	f.Add("git/hooks/pre-commit", mine, "", "0.old", "")
	f.Add("new", secret, "", "0.old", "../../../out/secret")
	f.Add("new", mine, "", "0.old", "../../mine")
	f.Add("new", mine, "", "journal", "../../../out/secret")
	f.Add("c:/x", mine, "", "0.old", "")
	f.Add("nul", mine, "", "0.old", "")
	f.Add("MINE", mine, "", "0.old", "")
	f.Add("chain/x", mine, "", "0.old", "")
	f.Add("/abs", mine, "", "0.old", "")
	f.Add(".scaffold/stage/journal", mine, "", "0.old", "")
	f.Fuzz(func(t *testing.T, p, before, after, name, to string) {
		top := t.TempDir()
		root := hostile(t, top)
		if err := os.RemoveAll(filepath.Join(root, stageDir)); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(journal{Version: journalVersion, Command: "add x", Changes: []entry{{p, before, after}}})
		if err != nil {
			t.Fatal(err)
		}
		put(t, root, undoDir+"/"+journalName, string(text), 0o644)
		put(t, root, undoDir+"/0.old", "mine\n", 0o644)
		if at := filepath.Join(undoDir, filepath.Base(name)); to != "" && filepath.IsLocal(at) && !strings.Contains(at+to, "\x00") {
			if err := os.RemoveAll(filepath.Join(root, at)); err != nil {
				t.Fatal(err)
			}
			_ = os.Symlink(to, filepath.Join(root, at)) // a name that can't be is no danger
		}
		outside := func() map[string]string {
			got := snapshot(t, top)
			for p := range got {
				if strings.HasPrefix(p, "repo/") && !strings.HasPrefix(p, "repo/.git") || p == "repo" {
					delete(got, p)
				}
			}
			return got
		}
		want := outside()
		last, err := ReadLast(root)
		if err == nil && last != nil {
			err = Apply(t.Context(), root, last.Changes)
		}
		if diff := cmp.Diff(want, outside()); diff != "" {
			t.Errorf("%v: (-before +after):\n%s", err, diff)
		}
		for p, what := range snapshot(t, root) {
			if strings.HasSuffix(what, " secret\n") && !strings.HasPrefix(p, ".scaffold/") {
				t.Errorf("%s holds what is not the repository's", p)
			}
		}
	})
}

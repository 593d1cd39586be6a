package record

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/internal/worktree"
)

// Whatever stands in a repository's .scaffold, what is read of it are files of
// the repository's own, by paths that lead nowhere else.
func FuzzBaseTree(f *testing.F) {
	for _, name := range []string{
		"base/../../../out/secret.base", "base/...base", "base//etc/x.base", "base/c:/x.base", `base/..\x.base`, "base/.git/config.base",
		"base/x/.GIT/hooks/pre-commit.base", "base/nul.base", "base/COM1/x.base", "base/GO.MOD.base", "base/go.mod.xbase", "base/go.mod/x.base",
		"base/.scaffold/base/x.base", "base/a..base", "base/ a.base", "base/a\x00.base", "base/.base", "base", "../x.base",
	} {
		f.Add(name, "", []byte("x\n"))
	}
	for _, to := range []string{"../../../out/secret", "../../..", "/", "go.mod.base", "loop.base", "nowhere"} {
		f.Add("base/loop.base", to, []byte(nil))
		f.Add("base/docs", to, []byte(nil))
	}
	f.Add("base", "../../out", []byte(nil))
	const secret = "of another directory"
	f.Fuzz(func(t *testing.T, name, to string, data []byte) {
		raw := fstest.MapFS{".scaffold/base/go.mod.base": {Data: []byte("module x\n")}}
		raw[".scaffold/"+name] = &fstest.MapFile{Data: data}
		if to != "" {
			raw[".scaffold/"+name] = &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink}
		}
		records := []fs.FS{raw}
		if local := path.Join(Dir, name); filepath.IsLocal(local) && !strings.Contains(name+to, "\x00") {
			top := t.TempDir()
			writeTree(t, top, tree.Tree{
				"out/secret": {Data: []byte(secret)}, "out/secret.base": {Data: []byte(secret)},
				"repo/.scaffold/base/go.mod.base": {Data: []byte("module x\n")},
			})
			root := filepath.Join(top, "repo")
			at := filepath.Join(root, local)
			err := os.MkdirAll(filepath.Dir(at), 0o755)
			switch {
			case err != nil:
			case to == "":
				err = os.WriteFile(at, data, 0o600)
			case at != root:
				if err = os.RemoveAll(at); err == nil {
					err = os.Symlink(to, at)
				}
			}
			var bad *fs.PathError
			var badLink *os.LinkError
			if err != nil && !errors.As(err, &bad) && !errors.As(err, &badLink) {
				t.Fatal(err)
			}
			r, err := os.OpenRoot(root)
			if err != nil {
				t.Fatal(err)
			}
			files := worktree.Open(r)
			defer func() { _ = files.Close() }()
			records = append(records, files.FS(), os.DirFS(root))
		}
		for _, record := range records {
			base, err := BaseTree(record)
			if err != nil {
				if strings.Contains(err.Error(), secret) {
					t.Fatalf("an error holds what is not the record's: %v", err)
				}
				continue
			}
			folded := make(map[string]bool)
			for p, file := range base {
				if err := tree.CheckPath(p); err != nil {
					t.Fatalf("a path came out: %v", err)
				}
				low := strings.ToLower(p)
				if folded[low] || low == Dir || strings.HasPrefix(low, Dir+"/") {
					t.Fatalf("%s came out", p)
				}
				folded[low] = true
				if bytes.Contains(file.Data, []byte(secret)) {
					t.Fatalf("%s holds what is not the record's", p)
				}
			}
		}
	})
}

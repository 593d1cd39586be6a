package catalog_test

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

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

const secret = "of another directory"

// onDisk writes a pack to top/pack, beside a file that is none of its own.
func onDisk(t testing.TB, top string, pack fstest.MapFS) (dir string) {
	t.Helper()
	dir = filepath.Join(top, "pack")
	write := func(name string, data []byte) {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range pack {
		write(filepath.Join(dir, filepath.FromSlash(name)), file.Data)
	}
	write(filepath.Join(top, "out", "secret"), []byte("# "+secret+"\n"))
	write(filepath.Join(top, "out", "jobs.yaml"), []byte("name: "+secret+"\n"))
	return dir
}

// A pack can't bring a link, wherever it leads and whatever it stands for.
func TestLoadFollowsNoLink(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ at, to string }{
		{"service/stolen", "../../out/secret"},
		{"service/stolen", "ABS/out/secret"},
		{"service/stolen", "../../out"},
		{"service/stolen", "nowhere"},
		{"service/stolen", "script"},
		{"service/docs/up", "../.."},
		{"service", "../out"},
		{"service", "."},
		{"patterns", "../out"},
		{"patterns/jobs.yaml", "../../out/jobs.yaml"},
		{"catalog.yaml", "../out/jobs.yaml"},
	} {
		t.Run(tt.at+" to "+tt.to, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			dir := onDisk(t, top, small())
			at := filepath.Join(dir, filepath.FromSlash(tt.at))
			if err := os.RemoveAll(at); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(strings.Replace(tt.to, "ABS", top, 1), at); err != nil {
				t.Fatal(err)
			}
			_, err := catalog.Load(os.DirFS(dir))
			if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), tt.at) {
				t.Errorf("Load: %v", err)
			}
		})
	}
}

// Whatever a pack holds, no path that leads elsewhere comes out of it, and no
// byte that is not its own.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{
		"../out/secret", "..", "/etc/passwd", "c:/x", `..\x`, "a/../../x", ".git/config", "x/.GIT/hooks/pre-commit", "nul", "aux.go",
		"SCRIPT", "cmd/Service/main.go", "a.", " a", "a\x00", "{{ .Name }}/x", "{{ \"../x\" }}.tmpl", "script/below", "docs", "",
	} {
		f.Add(name, "", []byte("x\n"))
	}
	for _, to := range []string{"../../out/secret", "..", "/", "script", "loop", "nowhere"} {
		f.Add("loop", to, []byte(nil))
		f.Add("docs/patterns/x", to, []byte(nil))
	}
	f.Fuzz(func(t *testing.T, name, to string, data []byte) {
		packs := []fs.FS{}
		raw := small()
		raw["service/"+name] = &fstest.MapFile{Data: data}
		if to != "" {
			raw["service/"+name] = &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink}
		}
		packs = append(packs, raw)
		if local := path.Join("service", name); filepath.IsLocal(local) && !strings.Contains(name+to, "\x00") {
			top := t.TempDir()
			dir := onDisk(t, top, small())
			at := filepath.Join(dir, local)
			err := os.MkdirAll(filepath.Dir(at), 0o755)
			if err == nil && to != "" {
				err = os.Symlink(to, at)
			} else if err == nil {
				err = os.WriteFile(at, data, 0o600)
			}
			var bad *fs.PathError
			var badLink *os.LinkError
			if err != nil && !errors.As(err, &bad) && !errors.As(err, &badLink) {
				t.Fatal(err)
			}
			packs = append(packs, os.DirFS(dir))
		}
		for _, pack := range packs {
			c, err := catalog.Load(pack)
			if err != nil {
				if strings.Contains(err.Error(), secret) {
					t.Fatalf("an error holds what is not the pack's: %v", err)
				}
				continue
			}
			seen := make(map[string]bool)
			for _, file := range c.Files {
				if err := tree.CheckPath(file.Path); err != nil {
					t.Fatalf("a path came out: %v", err)
				}
				if low := strings.ToLower(file.Path); seen[low] {
					t.Fatalf("%s came out twice", file.Path)
				} else {
					seen[low] = true
				}
				if bytes.Contains(file.Data, []byte(secret)) {
					t.Fatalf("%s holds what is not the pack's", file.Path)
				}
			}
		}
	})
}

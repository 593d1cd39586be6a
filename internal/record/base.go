package record

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// Dir is where a repository keeps its merge base.
const Dir = ".scaffold"

const baseDir = Dir + "/base"

// A recorded file has one of these after its name, so that no tool takes it for
// a go.mod, a workflow or a .gitignore. The executable bit is in the name,
// because not every file system, archive and checkout keeps it in the mode.
const (
	plainSuffix = ".base"
	execSuffix  = ".xbase"
)

// The files beside the recorded ones.
var fixed = tree.Tree{
	Dir + "/README.md": {Data: []byte(`This folder holds the files of this service as scaffold last wrote them. It is
what ` + "`scaffold add`, `update` and `check`" + ` compare your files with, so that your edits
are kept. Commit it; don't edit it. Where two branches meet, git merges it by
itself. The names end in .base, or .xbase for an executable file, so that no tool
takes a copy for the real thing.
`)},
	// Two branches that add different lines to one file both keep them. No
	// conversion of any kind may touch the bytes.
	Dir + "/.gitattributes": {Data: []byte(`* -text -ident -filter -working-tree-encoding linguist-generated=true
/base/** merge=union
`)},
	// What the owner's own list leaves out must not leave out its record.
	Dir + "/.gitignore": {Data: []byte(`!/base/**
/stage/
/done/
/kept/
/undo/
`)},
}

// Files returns the files that record base: what stands below Dir once base has
// been written. It depends on nothing but base.
func Files(base tree.Tree) tree.Tree {
	files := fixed.Clone()
	for p, f := range base {
		files[recorded(p, f.Exec)] = tree.File{Data: f.Data}
	}
	return files
}

func recorded(p string, exec bool) string {
	if exec {
		return baseDir + "/" + p + execSuffix
	}
	return baseDir + "/" + p + plainSuffix
}

// BaseTree reads the files as they were last written. The error is
// [fs.ErrNotExist] if nothing was recorded. A record that Files could not have
// made is refused: links, names that lead elsewhere, names that differ only in
// case, a file below a file. No link is followed, if root is that of an
// [os.Root] or [os.DirFS].
func BaseTree(root fs.FS) (tree.Tree, error) {
	for _, dir := range []string{Dir, baseDir} {
		info, err := fs.Lstat(root, dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%s: %w; take it back from git (git checkout HEAD -- %s)", dir, fs.ErrNotExist, Dir)
		case err != nil:
			return nil, err
		case !info.IsDir():
			return nil, fmt.Errorf("%s: is no directory; take it back from git (git checkout HEAD -- %s)", dir, Dir)
		}
	}
	base := tree.Tree{}
	folded := map[string]string{}
	err := fs.WalkDir(root, baseDir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if n := d.Name(); n == "." || !fs.ValidPath(n) || strings.Contains(n, "/") {
			return fmt.Errorf("%s: %q is no name of a file; delete it", p, n) // walked, it would lead elsewhere
		}
		if d.IsDir() {
			return nil
		}
		name, exec, err := original(p, d)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if other, ok := folded[strings.ToLower(name)]; ok {
			return fmt.Errorf("%s: stands for the same file as that of %s; delete the one that is wrong", p, other)
		}
		folded[strings.ToLower(name)] = name
		data, err := fs.ReadFile(root, p)
		if err != nil {
			return err
		}
		base[name] = tree.File{Data: data, Exec: exec}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return base, nested(base, folded)
}

// original is the path that the recorded file p stands for.
func original(p string, d fs.DirEntry) (name string, exec bool, err error) {
	if !d.Type().IsRegular() {
		return "", false, fmt.Errorf("is no regular file (%s); delete it", d.Type())
	}
	name, ok := strings.CutSuffix(p, plainSuffix)
	if !ok {
		name, exec = strings.CutSuffix(p, execSuffix)
	}
	if !ok && !exec {
		return "", false, fmt.Errorf("is not of scaffold's making (no %s at its end); delete it", plainSuffix)
	}
	name = strings.TrimPrefix(name, baseDir+"/")
	if err := tree.CheckPath(name); err != nil {
		return "", false, fmt.Errorf("can't be the record of a file: %w; delete it", err)
	}
	if low := strings.ToLower(name); low == Dir || strings.HasPrefix(low, Dir+"/") {
		return "", false, errors.New("is a record of the record itself; delete it")
	}
	return name, exec, nil
}

// nested reports a file that stands below another one.
func nested(base tree.Tree, folded map[string]string) error {
	for p := range base {
		for i := strings.LastIndexByte(p, '/'); i > 0; i = strings.LastIndexByte(p[:i], '/') {
			if other, ok := folded[strings.ToLower(p[:i])]; ok {
				return fmt.Errorf("%s: %s is recorded as a file and as a directory; delete the one that is wrong", baseDir, other)
			}
		}
	}
	return nil
}

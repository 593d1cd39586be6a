package cli

import (
	"bytes"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/record"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/internal/worktree"
	"github.com/seed-d146d9dc/scaffold/templates"
)

// commandOf returns the folder of a service's command, or "".
func commandOf(files tree.Tree) string {
	for p := range files {
		if ok, _ := path.Match("cmd/*/app.go", p); ok { // the pattern is well-formed
			return path.Dir(p)
		}
	}
	return ""
}

// has reports whether one of the files of base below dir stands in work, below to.
func has(work, base tree.Tree, dir, to string) bool {
	for p := range base {
		if rest, ok := strings.CutPrefix(p, dir+"/"); ok {
			if _, ok := work[to+"/"+rest]; ok {
				return true
			}
		}
	}
	return false
}

// followed returns base with the command's files where the owner moved them, and adds
// to work the files that the owner may have renamed others of base to, so that all are
// merged there with what was last written.
func (d *draft) followed(base, work tree.Tree) tree.Tree {
	base = d.movedCommand(base, work)
	gone := slices.DeleteFunc(base.Paths(), func(p string) bool { _, ok := work[p]; return ok })
	maps.Copy(work, worktree.Beside(d.root, gone, func(p, other string) bool {
		_, written := base[other]
		_, comes := d.next[other]
		return !written && !comes && plan.Alike(p, other)
	}))
	return base
}

// movedCommand returns base with the command's files where the owner moved them, whose
// scaffold.yaml has the new name.
func (d *draft) movedCommand(base, work tree.Tree) tree.Tree {
	was, is := commandOf(base), "cmd/"+d.want.Name
	if was == "" || was == is || has(work, base, was, was) || !has(work, base, was, is) {
		return base
	}
	moved := make(tree.Tree, len(base))
	for p, f := range base {
		if rest, ok := strings.CutPrefix(p, was+"/"); ok {
			p = is + "/" + rest
		}
		moved[p] = f
	}
	return moved
}

// checkMoved reports a command that its owner moved to another folder, whose name
// scaffold.yaml does not have: what is written would come to stand in the old one.
func (d *draft) checkMoved(work tree.Tree) error {
	command := "cmd/" + d.want.Name
	if commandOf(d.base) != command || has(work, d.base, command, command) {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(d.root, "cmd", "*", "app.go"))
	if err != nil || len(files) != 1 {
		return nil // no folder that is known to be it
	}
	if info, err := os.Lstat(files[0]); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	src, err := os.ReadFile(files[0])
	if err != nil || !bytes.Contains(src, []byte("func (a *App) parts() []part")) {
		return nil // another command's
	}
	to := filepath.Base(filepath.Dir(files[0]))
	c, err := catalog.Load(templates.FS)
	if err != nil || checkName(to, c) != nil {
		return nil // no name that the service can have
	}
	return usagef("%s moved to cmd/%s: set `name: %s` in %s, then run `scaffold apply`", command, to, to, record.ManifestFile)
}

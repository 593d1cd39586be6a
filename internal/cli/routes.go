package cli

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/foreign"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
)

// checkRoutes notes the routes of the owner's that clash with some that are to come:
// the service would not start with both.
func (d *draft) checkRoutes() {
	theirs := d.ownAnswers()
	if len(theirs) == 0 {
		return
	}
	for _, step := range d.plan.Steps {
		if step.Action == plan.Keep || !d.answers(step.Path) {
			continue
		}
		for _, come := range moreAnswers(step.Path, d.base[step.Path].Data, d.next[step.Path].Data, nil, nil) {
			for _, a := range theirs {
				if a.Clashes(foreign.NetHTTP, come.Method, come.Path) {
					d.clashes = append(d.clashes, clash(a, come.Method, come.Path))
				}
			}
		}
	}
}

// answers reports whether a file is one of those that mount routes.
func (d *draft) answers(name string) bool {
	return path.Dir(name) == "cmd/"+d.want.Name && path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go")
}

// ownAnswers are the routes in files of the owner's, and in what was added to others.
func (d *draft) ownAnswers() (answers []foreign.Answer) {
	own, pkg := make(map[string][]byte), make(map[string][]byte)
	module := foreign.Packages(os.DirFS(d.root), d.want.Module)
	for _, name := range d.ownIn("cmd/" + d.want.Name) {
		if src, err := os.ReadFile(filepath.Join(d.root, filepath.FromSlash(name))); err == nil && d.answers(name) { //nolint:gosec // a regular file of the service
			own[name], pkg[name] = src, src
		}
	}
	for _, step := range d.plan.Steps {
		if step.Work != nil && d.answers(step.Path) {
			pkg[step.Path] = step.Work.Data
		}
	}
	for _, step := range d.plan.Steps {
		if was, ok := d.base[step.Path]; ok && step.Work != nil && !step.Work.Equal(was) && d.answers(step.Path) {
			answers = append(answers, moreAnswers(step.Path, was.Data, step.Work.Data, pkg, module)...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		answers = append(answers, foreign.Answers(name, own[name], ".mux", pkg, module)...)
	}
	return answers
}

// moreAnswers are the routes of a file that it does not have in another version.
func moreAnswers(name string, before, now []byte, pkg map[string][]byte, module foreign.Module) []foreign.Answer {
	had := foreign.Answers(name, before, ".mux", pkg, module)
	return slices.DeleteFunc(foreign.Answers(name, now, ".mux", pkg, module), func(a foreign.Answer) bool {
		return slices.ContainsFunc(had, func(b foreign.Answer) bool { return a.Method == b.Method && a.Path == b.Path })
	})
}

func clash(a foreign.Answer, method, path string) string {
	return fmt.Sprintf("%s:%d answers %s, and %s %s is to come", a.File, a.Line, strings.TrimSpace(a.Method+" "+a.Path), method, path)
}

// checkRoutes notes the routes of the owner's that clash with the library's, as far
// as they are where that is wired, or where the router is built.
func (d *foreignDraft) checkRoutes(fsys fs.FS) error {
	pkg, err := foreign.Sources(fsys, d.wiring.Site.File)
	if err != nil {
		return err
	}
	for _, a := range d.wiring.Answers(pkg, foreign.Packages(fsys, d.repo.Module)) {
		for _, r := range d.routes {
			if a.Clashes(d.wiring.Router, r.Method, r.Path) {
				d.clashes = append(d.clashes, clash(a, r.Method, r.Path))
			}
		}
	}
	return nil
}

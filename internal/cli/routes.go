package cli

import (
	"fmt"
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
	dir := "cmd/" + d.want.Name
	var theirs, come []foreign.Answer
	for _, step := range d.plan.Steps {
		if path.Dir(step.Path) != dir || path.Ext(step.Path) != ".go" || strings.HasSuffix(step.Path, "_test.go") {
			continue
		}
		was, next := d.base[step.Path].Data, d.next[step.Path].Data
		if step.Action != plan.Keep {
			come = append(come, moreAnswers(step.Path, was, next)...)
		}
		if step.Work != nil && len(was) > 0 && step.Action != plan.Update {
			theirs = append(theirs, moreAnswers(step.Path, was, step.Work.Data)...)
		}
	}
	if len(come) == 0 {
		return
	}
	entries, err := os.ReadDir(filepath.Join(d.root, filepath.FromSlash(dir)))
	if err != nil {
		return // there is none yet
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		_, written := d.base[name]
		_, comes := d.next[name]
		if written || comes || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || !e.Type().IsRegular() {
			continue
		}
		if src, err := os.ReadFile(filepath.Join(d.root, filepath.FromSlash(name))); err == nil { //nolint:gosec // a regular file of the service
			theirs = append(theirs, foreign.Answers(name, src, ".mux")...)
		}
	}
	for _, a := range theirs {
		for _, c := range come {
			if a.Clashes(foreign.NetHTTP, c.Method, c.Path) {
				d.clashes = append(d.clashes, clash(a, c.Method, c.Path))
			}
		}
	}
}

// moreAnswers are the routes of a file that it does not have in another version.
func moreAnswers(name string, before, now []byte) []foreign.Answer {
	had := foreign.Answers(name, before, ".mux")
	return slices.DeleteFunc(foreign.Answers(name, now, ".mux"), func(a foreign.Answer) bool {
		return slices.ContainsFunc(had, func(b foreign.Answer) bool { return a.Method == b.Method && a.Path == b.Path })
	})
}

func clash(a foreign.Answer, method, path string) string {
	return fmt.Sprintf("%s:%d answers %s, and %s %s is to come", a.File, a.Line, strings.TrimSpace(a.Method+" "+a.Path), method, path)
}

// checkRoutes notes the routes of the owner's that clash with the library's, as far
// as they are where that is wired.
func (d *foreignDraft) checkRoutes(src []byte) {
	for _, a := range foreign.Answers(d.wiring.Site.File, src, d.wiring.Site.Var) {
		for _, r := range d.routes {
			if a.Clashes(d.wiring.Router, r.Method, r.Path) {
				d.clashes = append(d.clashes, clash(a, r.Method, r.Path))
			}
		}
	}
}

package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/record"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// printDraft shows a plan: what the service will be made of, then its files. The
// files of a new service are counted, unless all is asked for.
func (a *app) printDraft(title string, d *draft, all bool) {
	a.printf("%s\n", title)
	if line := addedLine(d.added); line != "" {
		a.printf("  also      %s\n", line)
	}
	if len(d.selection.Options) > 0 {
		a.printf("  options   %s\n", optionsLine(d.selection.Options))
	}
	a.printf("  record    %s and .scaffold/, by which later changes are merged\n", record.ManifestFile)
	steps := slices.DeleteFunc(slices.Clone(d.plan.Steps), func(s plan.Step) bool { return !told(s) })
	if d.text == nil && !all && len(d.plan.Conflicts()) == 0 {
		a.printf("  files     %s\n\n", strings.Join(byFolder(steps), ", "))
		return
	}
	a.printf("\n")
	a.printSteps(steps)
	if d.text != nil {
		if n := d.plan.Summary().Keep; n > 0 {
			a.printf("Your changes in %s stay as they are.\n\n", count(n, "more file"))
		}
	}
}

// printSteps prints a line for each step, and a blank one below.
func (a *app) printSteps(steps []plan.Step) {
	width := 0
	for _, s := range steps {
		width = max(width, len(s.Path))
	}
	for _, s := range steps {
		why := s.Why
		if s.Action == plan.Create || s.Action == plan.Update {
			why = "" // nothing of the user's is touched
		}
		if s.Decided != "" {
			why += fmt.Sprintf(" (--conflicts=%s)", s.Decided)
		}
		a.printf("%s\n", strings.TrimRight(fmt.Sprintf("  %-9s %-*s  %s", s.Action, width, s.Path, why), " "))
		for _, note := range s.Notes {
			a.printf("  %-9s   %s\n", "", note)
		}
	}
	if len(steps) > 0 {
		a.printf("\n")
	}
}

// told reports whether a step is worth a line: not where the user's own version
// stays because its template has nothing new.
func told(s plan.Step) bool {
	if s.Action == plan.Settled {
		return len(s.Notes) > 0
	}
	return s.Action != plan.Keep || s.Decided != ""
}

// byFolder counts the steps' files by the first part of their paths.
func byFolder(steps []plan.Step) []string {
	files := make(map[string]int)
	for _, s := range steps {
		folder, _, below := strings.Cut(s.Path, "/")
		if !below {
			folder = "."
		}
		files[folder]++
	}
	folders := slices.SortedFunc(maps.Keys(files), func(x, y string) int {
		return cmp.Or(files[y]-files[x], strings.Compare(x, y))
	})
	lines := []string{fmt.Sprintf("%d", len(steps))}
	for i, folder := range folders {
		if i == 0 {
			lines[0] += fmt.Sprintf(": %s %d", folder, files[folder])
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %d", folder, files[folder]))
	}
	return lines
}

// tally says what a plan did.
func tally(p plan.Plan) string {
	s := p.Summary()
	var parts []string
	for _, c := range []struct {
		n    int
		what string
	}{{s.Create, "new"}, {s.Update, "updated"}, {s.Merge, "merged with your changes"}, {s.Delete, "deleted"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if len(parts) == 0 {
		return "no file changed"
	}
	return strings.Join(parts, ", ")
}

// printDone says what a change did, and what is left to do by hand.
func (a *app) printDone(c *catalog.Catalog, d *draft) {
	a.printf("Done: %s.\n", tally(d.plan))
	a.printMarked(d.plan)
	a.printEngines(c, d.selection)
	a.printMoves(c, d.had(c), d.selection.Options, true)
}

// printMarked says which files hold conflict markers now.
func (a *app) printMarked(p plan.Plan) {
	for _, s := range p.Steps {
		switch {
		case s.Decided == plan.Markers && s.Conflict.Reason == plan.Types:
			a.printf("%s: does not type-check yet; it is yours to mend.\n", s.Path)
		case s.Decided == plan.Markers:
			a.printf("%s: edit what stands between the conflict markers (<<<<<<< to >>>>>>>).\n", s.Path)
		}
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// addedLine says which patterns come with those that were asked for, and why.
func addedLine(added []catalog.Added) string {
	parts := make([]string, len(added))
	for i, x := range added {
		parts[i] = fmt.Sprintf("%s (%s requires it)", x.Pattern, x.By)
	}
	return strings.Join(parts, ", ")
}

func optionsLine(options map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(options)) {
		parts = append(parts, name+"="+options[name])
	}
	return strings.Join(parts, ", ")
}

// printConflict shows how the user's file and the templates' differ.
func (a *app) printConflict(s plan.Step) {
	a.printf("\n%s\n", udiff.Unified("yours", "scaffold's", text(s.Work), text(s.Next)))
}

func text(f *tree.File) string {
	if f == nil {
		return ""
	}
	return string(f.Data)
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/foreign"
	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/record"
	"github.com/seed-d146d9dc/scaffold/internal/render"
)

// A moduleJSON is what was found of a module that scaffold did not make, and what
// its owner has to do.
type moduleJSON struct {
	Folder   string         `json:"folder"` // from the module's root
	Import   string         `json:"import"` // of the package that was added
	Router   string         `json:"router"`
	Reasons  []string       `json:"reasons,omitempty"` // why the options have their values
	Routes   []render.Route `json:"routes"`
	Wired    string         `json:"wired,omitempty"`  // the file that has the wiring
	Wiring   []string       `json:"wiring,omitempty"` // the lines
	Imports  []string       `json:"imports,omitempty"`
	Site     *foreign.Site  `json:"site,omitempty"` // where they go
	Complete bool           `json:"complete"`       // go.mod needs no go mod tidy
	Next     []string       `json:"next,omitempty"` // commands to run
}

func (doc *document) foreign(d *foreignDraft) {
	doc.Root = d.root
	if abs, err := filepath.Abs(d.root); err == nil {
		doc.Root = abs
	}
	doc.Service = describe(record.Manifest{Name: d.selection.Name, Module: d.repo.Module}, d.selection)
	doc.Added, doc.Broken, doc.Clashes, doc.Plan = d.added, slices.Concat(d.unfit, d.broken), d.clashes, &d.plan
	m := &moduleJSON{
		Folder: d.repo.Folder, Import: d.place.Import, Router: d.repo.Router.String(), Reasons: d.reasons,
		Routes: d.routes, Wired: d.repo.Wired, Complete: d.mod.Complete, Next: d.commands(),
	}
	m.Wiring, m.Imports, m.Site = d.lines()
	doc.Module = m
}

// lines are what the owner's code needs, and where; nil if it has them.
func (d *foreignDraft) lines() (lines, imports []string, site *foreign.Site) {
	switch {
	case d.repo.Wired != "":
		return nil, nil, nil
	case d.wiring != nil:
		return d.wiring.Lines, d.wiring.Imports, &d.wiring.Site
	}
	lines = foreign.Generic(d.repo.Router, foreign.Library{Import: d.place.Import, Package: d.place.Package})
	return lines, []string{`"context"`, `"log"`, `"log/slog"`, `"os"`, fmt.Sprintf("%q", d.place.Import)}, nil
}

// commands are what the owner has to run after the change.
func (d *foreignDraft) commands() []string {
	var commands []string
	if !d.mod.Complete {
		commands = append(commands, "go mod tidy")
	}
	if d.vendor {
		commands = append(commands, "go mod vendor")
	}
	return commands
}

// workspace looks at what around the module decides how it is built.
func (d *foreignDraft) workspace(o *addOptions) error {
	if _, err := os.Stat(filepath.Join(d.root, "vendor", "modules.txt")); err == nil {
		d.vendor = true
	}
	w, err := workspaceOf(d.root)
	if err != nil {
		return err
	}
	if w != nil && w.uses {
		return d.inWorkspace(w)
	}
	return nil
}

// inWorkspace refuses a change after which the workspace would not load.
func (d *foreignDraft) inWorkspace(w *workspace) error {
	line := "1.18"
	if w.parsed.Go != nil {
		line = w.parsed.Go.Version
	}
	if gomod.GoLower(line, d.mod.Go) {
		return usagef("%s: says go %s, and the module will need %s: run `go work edit -go=%s` (and -toolchain=none if it has one), then this again", shown(w.file), line, d.mod.Go, d.mod.Go)
	}
	d.reasons = append(d.reasons, fmt.Sprintf("%s uses the module: builds there take the highest version that any of its modules requires", shown(w.file)))
	return nil
}

// printForeign shows what was found and what will be written.
func (a *app) printForeign(d *foreignDraft, all bool) {
	where := d.repo.Module
	if d.repo.Folder != "." {
		where += ", in " + d.repo.Folder
	}
	what := "nothing new"
	if len(d.fresh) > 0 {
		what = "adding " + strings.Join(d.fresh, ", ")
	}
	a.printf("%s: %s\n", where, what)
	if line := addedLine(d.added); line != "" {
		a.printf("  also      %s\n", line)
	}
	if len(d.selection.Options) > 0 {
		a.printf("  options   %s\n", optionsLine(d.selection.Options))
	}
	for _, reason := range d.reasons {
		a.printf("            %s\n", reason)
	}
	router := d.repo.Router.String()
	if by := d.repo.RouterImport; by.Path != "" {
		router += fmt.Sprintf(" (%s imports %s)", by.File, by.Path)
	}
	a.printf("  router    %s\n", router)
	a.printf("  packages  %s\n", d.place.Import)
	var steps, fresh []plan.Step
	for _, s := range d.plan.Steps {
		switch {
		case !told(s):
		case s.Action == plan.Create && !all:
			fresh = append(fresh, s)
		default:
			steps = append(steps, s)
		}
	}
	if len(fresh) > 0 {
		a.printf("  files     %s\n", strings.Join(foreignFolders(fresh), ", "))
	}
	a.printf("\n")
	a.printSteps(steps)
}

// foreignFolders counts new files by their folder, as the first three elements of
// their paths say it.
func foreignFolders(steps []plan.Step) []string {
	short := make([]plan.Step, len(steps))
	for i, s := range steps {
		short[i].Path = strings.ReplaceAll(path.Dir(s.Path), "/", "\x00") + "/"
	}
	lines := byFolder(short)
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], "\x00", "/")
	}
	const most = 6
	if len(lines) > most {
		lines = append(lines[:most], "…")
	}
	return lines
}

// printNextForeign says what is left to do by hand.
func (a *app) printNextForeign(c *catalog.Catalog, d *foreignDraft, o *addOptions, result string) {
	if result == resultWritten {
		a.printf("Done: %s.\n", tally(d.plan))
		a.printMarked(d.plan)
		a.printMoves(c, d.had, d.selection.Options, false)
	}
	commands := d.commands()
	if o.tidy && result == resultWritten {
		commands = slices.DeleteFunc(commands, func(c string) bool { return c == "go mod tidy" })
	}
	for _, c := range commands {
		why := "before you build: your requirements and the patterns' are merged, and only the go command can tell whether more is needed (or add with --tidy)"
		if c == "go mod vendor" {
			why = "before you build: vendor/ lacks what is new"
		}
		a.printf("Run `%s` %s.\n", c, why)
	}
	if o.wire == "" {
		a.printWiring(d)
	} else if result == resultWritten {
		a.printRoutes(d)
		a.printClosing(d)
	}
	for _, name := range d.fresh {
		if page := path.Join(d.repo.Folder, "docs/patterns", name+".md"); result == resultWritten {
			a.printf("%s says how to use and operate it.\n", page)
		}
	}
}

// printWiring prints what goes where the router is built.
func (a *app) printWiring(d *foreignDraft) {
	lines, imports, site := d.lines()
	switch {
	case lines == nil:
		a.printf("%s imports %s: the new routes are among Routes().\n", d.repo.Wired, d.place.Import)
		return
	case site != nil:
		a.printf("\nTo run it, put this into %s of %s, behind line %d, where it builds its router\n(or add with --wire %s:%s):\n\n", site.Func, site.File, site.Line, d.fromFolder(site.File), d.at)
	default:
		a.printf("\nNo place was found where a command builds its router. To run it, put this there:\n\n")
	}
	a.printf("\timport (\n\t\t%s\n\t)\n\n", strings.Join(imports, "\n\t\t"))
	for _, line := range lines {
		a.printf("\t%s\n", line)
	}
	a.printf("\n")
	a.printRoutes(d)
	a.printClosing(d)
	a.printf("\n")
}

// printRoutes says what the router answers from now on: only who wrote the other
// routes knows which of these they clash with.
func (a *app) printRoutes(d *foreignDraft) {
	a.printf("Its routes, of which some are examples to take out of %s (see that none is yours already):\n", path.Join(d.place.Folder, d.place.Below, "app.go"))
	for _, r := range d.routes {
		a.printf("\t%-6s %s\n", r.Method, r.Path)
	}
	if len(d.clashes) > 0 {
		a.printf("%s: only one of the two can stay.\n", few(d.clashes))
	}
}

// printClosing says where the function that is wired does not come to close what it
// made, and where what it is handed may not lead to that.
func (a *app) printClosing(d *foreignDraft) {
	if w := d.wiring; w != nil && w.Group {
		a.printf("%s is a group: if it is below a prefix, hand %s the router itself, since the patterns answer whole paths.\n", w.Site.Var, w.Site.Func)
	}
	switch w := d.wiring; {
	case w == nil:
	case w.Exits:
		a.printf("%s ends the process itself, which runs no deferred call, Close neither: let it return instead.\n", w.Site.Func)
	case !w.Closes:
		a.printf("%s returns before the server stops: call Close on what %s.New returned when it has; nothing else ends it.\n", w.Site.Func, d.place.Package)
	}
}

func (d *foreignDraft) fromFolder(file string) string {
	if rest, ok := strings.CutPrefix(file, d.repo.Folder+"/"); ok {
		return rest
	}
	return file
}

// tidy runs go mod tidy in the module.
func (a *app) tidy(ctx context.Context, root string) error {
	cmd := exec.CommandContext(ctx, "go", "mod", "tidy")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("all was written, but go mod tidy was not run: there is no go command here")
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("all was written, but go mod tidy failed: %s", lines[len(lines)-1])
	}
	return nil
}

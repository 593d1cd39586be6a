package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/record"
)

type addOptions struct {
	changeOptions
	foreignOptions
	patterns []string
	set      []string
}

func newAdd(a *app, runF func(context.Context, *addOptions) error) *cobra.Command {
	o := new(addOptions)
	cmd := &cobra.Command{
		Use:   "add PATTERN...",
		Short: "Add patterns to the service in this folder",
		Long: `Add patterns to the service in this folder or above, with all that they require.

What you edited is kept: a file that both you and the templates changed is merged.
Where that can't be done, a terminal is asked file by file; without one nothing
is written and the exit code is 3. A pattern that is there already changes nothing.

In a Go module that scaffold did not make, at its root or in a folder of it, add
brings the patterns as packages below --prefix, with their migrations and pages,
and merges their requirements into go.mod and go.sum. It touches no other file that
is there, leaves no record, and prints the lines that go where the router is built;
--wire puts them in.`,
		Example: `  scaffold add dlq
  scaffold add sse pubsub --yes
  scaffold add jobstatus --set database=postgres --dry-run
  scaffold add dlq --dir services/orders --wire cmd/api/main.go:main`,
		GroupID: groupChange,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.patterns = splitNames(args)
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			doc := &document{Command: "add"}
			return a.close(doc, &o.changeOptions, runAdd(cmd.Context(), a, o, doc))
		},
		ValidArgsFunction: a.patternsThatAre(false),
	}
	cmd.Flags().StringSliceVarP(&o.set, "set", "s", nil, "option=value, comma-separated")
	o.requiresFlag(cmd)
	o.changeOptions.flags(cmd)
	o.serviceFlags(cmd)
	o.foreignOptions.flags(cmd)
	register(cmd, "set", a.optionPairs)
	return cmd
}

// splitNames takes names that are separated by commas or spaces, too, each once.
func splitNames(args []string) []string {
	names := []string{}
	for _, arg := range args {
		for _, name := range strings.FieldsFunc(arg, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

func runAdd(ctx context.Context, a *app, o *addOptions, doc *document) error {
	set, err := settings(splitNames(o.set))
	if err != nil {
		return err
	}
	terminal := a.terminalFor(ctx, &o.changeOptions)
	if len(o.patterns) == 0 && terminal == nil {
		return usagef("which patterns? Say `scaffold add PATTERN...` (see `scaffold list`)")
	}
	root, folder, err := a.foreignModule(ctx, o.dir)
	if err != nil {
		return err
	}
	if root != "" {
		return runForeign(ctx, a, o, root, folder, doc)
	}
	if flag := o.given(); flag != "" {
		return a.refuseForeign(ctx, o.dir, flag)
	}
	c, s, before, err := a.begin(ctx, &o.changeOptions, o.patterns)
	if err != nil {
		return err
	}
	if err := inStep(c, s, before); err != nil {
		return err
	}
	if len(o.patterns) == 0 {
		rest := offered(c, before)
		if len(rest) == 0 {
			a.printf("%s has every pattern.\n", s.manifest.Name)
			doc.Result = resultUnchanged
			return nil
		}
		if o.patterns, err = terminal.Patterns("Patterns to add:", c, rest); err != nil {
			return err
		}
	}
	want, fresh := a.more(c, s.manifest, before, o)
	want.Options = merged(s.manifest.Options, set)
	if len(fresh) == 0 && len(set) == 0 {
		doc.Service, doc.Result = describe(s.manifest, before), resultUnchanged
		return a.nothingToDo(&o.changeOptions)
	}
	if terminal != nil {
		if err := askOptions(terminal, c, &want, before); err != nil {
			return err
		}
	}
	title := fmt.Sprintf("%s: adding %s", s.manifest.Name, strings.Join(fresh, ", "))
	if len(fresh) == 0 {
		title = fmt.Sprintf("%s: setting %s", s.manifest.Name, optionsLine(set))
	}
	d, err := a.change(ctx, s, want, &o.changeOptions, doc, title)
	if err != nil || d == nil || o.json {
		return err
	}
	a.printDone(c, d)
	a.printAdded(c, d, fresh)
	return nil
}

// refuseForeign reports a flag that is not for services that scaffold made.
func (a *app) refuseForeign(ctx context.Context, dir, flag string) error {
	if s, err := a.look(ctx, dir); err != nil || s == nil {
		return cmp.Or(err, usagef("%s: no go.mod here or above: go to a Go module's folder, or name one with --dir", dir))
	}
	return usagef("%s: is for modules that scaffold did not make; this is a service that it made, and adds to as a whole", flag)
}

// more returns what a service is made of with the patterns that are to be added, and
// which of these are new.
func (a *app) more(c *catalog.Catalog, m record.Manifest, before catalog.Selection, o *addOptions) (want record.Manifest, fresh []string) {
	want = m
	want.Patterns = slices.Clone(m.Patterns)
	for _, name := range o.patterns {
		switch {
		case !before.Has(name):
			want.Patterns, fresh = append(want.Patterns, name), append(fresh, name)
		case !o.json:
			a.printf("%s: is there already%s.\n", name, because(c, m, name))
		}
	}
	return want, fresh
}

// merged returns options with those of set put over them.
func merged(options, set map[string]string) map[string]string {
	out := make(map[string]string, len(options)+len(set))
	for name, value := range options {
		out[name] = value
	}
	for name, value := range set {
		out[name] = value
	}
	return out
}

// because says why a pattern that the manifest does not list is there.
func because(c *catalog.Catalog, m record.Manifest, name string) string {
	if slices.Contains(m.Patterns, name) {
		return ""
	}
	_, added, err := c.Resolve(m.Patterns, nil)
	if err != nil {
		return ""
	}
	for _, x := range added {
		if x.Pattern == name {
			return ": " + x.By + " requires it"
		}
	}
	return ""
}

// printAdded says where to read on about the patterns that are new.
func (a *app) printAdded(c *catalog.Catalog, d *draft, fresh []string) {
	for _, name := range fresh {
		p, _ := c.Pattern(name)
		page := "docs/patterns/" + name + ".md"
		if _, ok := d.next[page]; ok {
			a.printf("%s says how to use and operate it.\n", page)
		}
		more := slices.DeleteFunc(slices.Clone(p.Suggests), d.selection.Has)
		if len(more) > 0 {
			a.printf("%s often goes with %s (see `scaffold explain`).\n", name, strings.Join(more, ", "))
		}
	}
}

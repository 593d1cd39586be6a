package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
)

type explainOptions struct {
	pattern string
	dir     string
	json    bool
}

func newExplain(a *app, runF func(context.Context, *explainOptions) error) *cobra.Command {
	o := new(explainOptions)
	cmd := &cobra.Command{
		Use:     "explain PATTERN",
		Short:   "Say when a pattern is the right one, and what it brings",
		GroupID: groupLook,
		Args:    exactlyOne("the pattern"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.pattern = args[0]
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			return runExplain(cmd.Context(), a, o)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.patternArgs(cmd, args, typed)
		},
	}
	lookFlags(cmd, &o.dir, &o.json)
	return cmd
}

// An explanation is what explain prints with --json.
type explanation struct {
	*catalog.Pattern
	// Options are the pattern's own.
	Options []*catalog.Option `json:"options"`
	// Files are those that it brings, with all of its alternatives.
	Files []string `json:"files"`
	// Joins are what more comes when another pattern is there, too.
	Joins []join `json:"joins"`
	// RequiredBy are the patterns that can't be without it.
	RequiredBy []string `json:"required_by"`
	// On says that the service in this folder has it; null if there is none.
	On *bool `json:"on"`
}

// A join is the files that join the pattern with others.
type join struct {
	With   []string `json:"with"`
	Files  []string `json:"files"`
	Routes []string `json:"routes"`
}

func runExplain(ctx context.Context, a *app, o *explainOptions) error {
	c, err := a.catalog()
	if err != nil {
		return err
	}
	p, err := c.Find(o.pattern)
	if err != nil {
		return err
	}
	s, selection, _, err := a.standing(ctx, c, o.dir)
	if err != nil {
		return err
	}
	name := "NAME"
	if s != nil {
		name = s.manifest.Name
	}
	x := explain(c, p, name)
	if s != nil {
		on := selection.Has(p.Name)
		x.On = &on
	}
	if o.json {
		return a.printJSON(x)
	}
	a.printExplanation(c, x)
	return nil
}

// explain says what a pattern is, with the files as the service of that name has them.
func explain(c *catalog.Catalog, p *catalog.Pattern, name string) *explanation {
	x := &explanation{Pattern: p, Options: []*catalog.Option{}, Files: []string{}, Joins: []join{}, RequiredBy: []string{}}
	for _, o := range c.Options {
		if o.Pattern == p.Name {
			x.Options = append(x.Options, o)
		}
	}
	for _, other := range c.Patterns {
		if slices.Contains(other.Requires, p.Name) {
			x.RequiredBy = append(x.RequiredBy, other.Name)
		}
	}
	for _, f := range c.Files {
		if !slices.Contains(f.Patterns, p.Name) {
			continue
		}
		file := strings.Replace(strings.TrimSuffix(f.Path, ".tmpl"), "cmd/service/", "cmd/"+name+"/", 1)
		if len(f.Patterns) == 1 {
			x.Files = append(x.Files, file)
			continue
		}
		with := slices.DeleteFunc(slices.Clone(f.Patterns), func(n string) bool { return n == p.Name })
		slices.Sort(with)
		i := slices.IndexFunc(x.Joins, func(j join) bool { return slices.Equal(j.With, with) })
		if i < 0 {
			x.Joins = append(x.Joins, join{With: with, Routes: joinedRoutes(c, f.Patterns)})
			i = len(x.Joins) - 1
		}
		x.Joins[i].Files = append(x.Joins[i].Files, file)
	}
	return x
}

// joinedRoutes returns the routes that are there with these patterns only.
func joinedRoutes(c *catalog.Catalog, patterns []string) []string {
	routes := []string{}
	for _, name := range patterns {
		p, _ := c.Pattern(name)
		for _, j := range p.Joins {
			all := append(slices.Clone(j.With), name)
			if len(all) == len(patterns) && !slices.ContainsFunc(all, func(n string) bool { return !slices.Contains(patterns, n) }) {
				routes = append(routes, j.Routes...)
			}
		}
	}
	return routes
}

func (a *app) printExplanation(c *catalog.Catalog, x *explanation) {
	a.printf("%s: %s\n%s\n\n", x.Name, x.Title, x.Summary)
	a.printf("  Use it when    %s\n", x.Guidance.Use)
	a.printf("  Leave it when  %s\n", x.Guidance.Avoid)
	a.printf("  Start with     %s\n", x.Guidance.Start)
	a.printf("  Move on to     %s\n", x.Guidance.Next)
	var engines, joins, options []string
	for _, e := range x.Engines {
		engines = append(engines, e.Name+": "+e.Summary+" ("+e.Variable+")")
	}
	for _, o := range x.Options {
		for _, v := range o.Values {
			options = append(options, o.Name+"="+v.Name+": "+v.Summary)
		}
	}
	for _, j := range x.Joins {
		joins = append(joins, strings.Join(j.With, ", ")+": "+strings.Join(slices.Concat(j.Files, j.Routes), ", "))
	}
	for _, section := range []struct {
		title string
		lines []string
	}{
		{"Routes", x.Routes},
		{"Options", options},
		{"Servers it can run on", engines},
		{"Metrics", x.Metrics},
		{"Requires", titled(c, x.Requires)},
		{"Required by", titled(c, x.RequiredBy)},
		{"Can't be with", titled(c, x.Conflicts)},
		{"Often goes with", titled(c, x.Suggests)},
		{"Brings", x.Files},
		{"Joins with", joins},
	} {
		if len(section.lines) == 0 {
			continue
		}
		a.printf("\n%s\n", section.title)
		for _, line := range section.lines {
			a.printf("  %s\n", line)
		}
	}
	switch {
	case x.On == nil:
		a.printf("\n`scaffold new NAME --with %s` makes a service with it.\n", x.Name)
	case *x.On:
		a.printf("\nIt is on in this service.\n")
	default:
		a.printf("\n`scaffold add %s` adds it to this service.\n", x.Name)
	}
}

func titled(c *catalog.Catalog, names []string) []string {
	var out []string
	for _, name := range names {
		p, _ := c.Pattern(name)
		out = append(out, name+": "+p.Summary)
	}
	return out
}

package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
)

type listOptions struct {
	dir  string
	json bool
}

func newList(a *app, runF func(context.Context, *listOptions) error) *cobra.Command {
	o := new(listOptions)
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the patterns, and which are on in this service",
		GroupID: groupLook,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			return runList(cmd.Context(), a, o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	lookFlags(cmd, &o.dir, &o.json)
	return cmd
}

// lookFlags are the flags of commands that only look.
func lookFlags(cmd *cobra.Command, dir *string, asJSON *bool) {
	cmd.Flags().StringVarP(dir, "dir", "d", ".", "folder of the service")
	cmd.Flags().BoolVar(asJSON, "json", false, "print one JSON document")
	completeFolders(cmd, "dir")
}

// A listing is what list prints with --json.
type listing struct {
	// Service is the one in this folder, if there is one.
	Service  *serviceJSON      `json:"service"`
	Families []listedFamily    `json:"families"`
	Options  []*catalog.Option `json:"options"`
}

type listedFamily struct {
	Name     string          `json:"name"`
	Title    string          `json:"title"`
	Summary  string          `json:"summary"`
	Patterns []listedPattern `json:"patterns"`
}

type listedPattern struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Summary string `json:"summary"`
	// On says that the service in this folder has it, RequiredBy which of its
	// patterns it is there for if it was not asked for itself.
	On         bool   `json:"on"`
	RequiredBy string `json:"required_by,omitempty"`
}

func runList(ctx context.Context, a *app, o *listOptions) error {
	c, err := a.catalog()
	if err != nil {
		return err
	}
	s, selection, added, err := a.standing(ctx, c, o.dir)
	if err != nil {
		return err
	}
	l := list(c, selection, added)
	if s != nil {
		l.Service = describe(s.manifest, selection)
	}
	if o.json {
		return a.printJSON(l)
	}
	a.printList(l)
	return nil
}

// standing returns the service in dir or above and what it is made of; the
// service is nil where there is none.
func (a *app) standing(ctx context.Context, c *catalog.Catalog, dir string) (*service, catalog.Selection, []catalog.Added, error) {
	s, err := a.look(ctx, dir)
	if err != nil || s == nil {
		return nil, catalog.Selection{}, nil, err
	}
	selection, added, err := resolve(c, s.manifest)
	if err != nil {
		return nil, selection, nil, inManifest(err)
	}
	return s, selection, added, nil
}

func list(c *catalog.Catalog, on catalog.Selection, added []catalog.Added) *listing {
	l := &listing{Options: c.Options}
	for _, f := range c.Families {
		family := listedFamily{Name: f.Name, Title: f.Title, Summary: f.Summary, Patterns: []listedPattern{}}
		for _, name := range f.Patterns {
			p, _ := c.Pattern(name)
			x := listedPattern{Name: p.Name, Title: p.Title, Summary: p.Summary, On: on.Has(name)}
			if i := slices.IndexFunc(added, func(a catalog.Added) bool { return a.Pattern == name }); i >= 0 {
				x.RequiredBy = added[i].By
			}
			family.Patterns = append(family.Patterns, x)
		}
		l.Families = append(l.Families, family)
	}
	return l
}

func (a *app) printList(l *listing) {
	width := 0
	for _, f := range l.Families {
		for _, p := range f.Patterns {
			width = max(width, len(p.Name))
		}
	}
	for _, f := range l.Families {
		if len(f.Patterns) == 0 {
			continue
		}
		a.printf("%s: %s\n", f.Title, f.Summary)
		for _, p := range f.Patterns {
			mark := " "
			if p.On {
				mark = "*"
			}
			by := ""
			if p.RequiredBy != "" {
				by = " (" + p.RequiredBy + " requires it)"
			}
			a.printf("  %s %-*s  %s%s\n", mark, width, p.Name, p.Summary, by)
		}
		a.printf("\n")
	}
	a.printf("Options:\n")
	for _, o := range l.Options {
		a.printf("    %s=%s", o.Name, strings.Join(o.ValueNames(), "|"))
		if l.Service != nil && l.Service.Options[o.Name] != "" {
			a.printf(" (here: %s)\n", l.Service.Options[o.Name])
		} else {
			a.printf(" (default: %s)\n", o.Default)
		}
	}
	a.printf("\n")
	if l.Service != nil {
		a.printf("* is on in %s. `scaffold add PATTERN` adds another; `scaffold explain PATTERN` says more.\n", l.Service.Name)
	} else {
		a.printf("`scaffold explain PATTERN` says when to choose one.\n")
	}
}

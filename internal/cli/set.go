package cli

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
)

type setOptions struct {
	changeOptions
	pairs []string
}

func newSet(a *app, runF func(context.Context, *setOptions) error) *cobra.Command {
	o := new(setOptions)
	cmd := &cobra.Command{
		Use:   "set OPTION=VALUE...",
		Short: "Choose another alternative for the service in this folder",
		Long: `Choose another alternative of an option, as in database=postgres, for the service
in this folder or above. It swaps the alternative's files and keeps your edits
elsewhere. What the service has stored stays where it is: moving it is yours to do.`,
		Example: `  scaffold set database=postgres
  scaffold set database=sqlite --dry-run`,
		GroupID: groupChange,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.pairs = splitNames(args)
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			doc := &document{Command: "set"}
			return a.close(doc, &o.changeOptions, runSet(cmd.Context(), a, o, doc))
		},
		ValidArgsFunction: a.optionPairs,
	}
	o.flags(cmd)
	o.serviceFlags(cmd)
	return cmd
}

func runSet(ctx context.Context, a *app, o *setOptions, doc *document) error {
	set, err := settings(o.pairs)
	if err != nil {
		return err
	}
	if len(set) == 0 {
		return usagef("which option? Say `scaffold set OPTION=VALUE` (see `scaffold list`)")
	}
	c, s, before, err := a.begin(ctx, &o.changeOptions, nil)
	if err != nil {
		return err
	}
	if err := inStep(c, s, before); err != nil {
		return err
	}
	want := s.manifest
	want.Options = merged(before.Options, set)
	if maps.Equal(want.Options, before.Options) {
		doc.Service, doc.Result = describe(s.manifest, before), resultUnchanged
		if !o.json {
			a.printf("%s: is so already.\n", optionsLine(set))
		}
		return a.nothingToDo(&o.changeOptions)
	}
	d, err := a.change(ctx, s, want, &o.changeOptions, doc, fmt.Sprintf("%s: setting %s", s.manifest.Name, optionsLine(set)))
	if err == nil && d != nil && !o.json {
		a.printDone(c, d)
	}
	return err
}

// printMoves says what a change of options leaves to the owner, and of a service that
// scaffold made, what not: beside other code there is no compose.yaml or CI of it.
func (a *app) printMoves(c *catalog.Catalog, had, has map[string]string, made bool) {
	for _, option := range c.Options {
		was, is := had[option.Name], has[option.Name]
		if was == "" || is == "" || was == is {
			continue
		}
		a.printf("\nFrom %s=%s to %s, by hand:\n", option.Name, was, is)
		for _, line := range option.Set.ByHand {
			a.printf("  - %s\n", line)
		}
		if !made {
			continue
		}
		a.printf("By itself:\n")
		for _, line := range option.Set.ByItself {
			a.printf("  - %s\n", line)
		}
	}
}

// had are the options with which the service was last written, by its files:
// scaffold.yaml may have been edited since.
func (d *draft) had(c *catalog.Catalog) map[string]string {
	options := make(map[string]string)
	for _, o := range c.Options {
		var names []string
		for p := range d.base {
			if path.Dir(p) == "internal/"+o.Pattern {
				names = append(names, path.Base(p))
			}
		}
		if value := alternative(o, names); value != "" {
			options[o.Name] = value
		}
	}
	return options
}

// alternative returns the value of an option that has a file among those of its
// pattern's package: a word of the file's name is the value's.
func alternative(o *catalog.Option, names []string) string {
	for _, v := range o.Values {
		for _, name := range names {
			words := strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '.' })
			if slices.Contains(words, v.Name) {
				return v.Name
			}
		}
	}
	return ""
}

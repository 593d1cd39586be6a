package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/record"
)

type removeOptions struct {
	changeOptions
	patterns []string
}

func newRemove(a *app, runF func(context.Context, *removeOptions) error) *cobra.Command {
	o := new(removeOptions)
	cmd := &cobra.Command{
		Use:   "remove PATTERN...",
		Short: "Take patterns out of the service in this folder",
		Long: `Take patterns out of the service in this folder or above, with what they require
and nothing else needs.

A file that you edited is not deleted without a word: it is a conflict to decide.`,
		Example: `  scaffold remove sse
  scaffold remove dlq retries --dry-run`,
		GroupID: groupChange,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.patterns = splitNames(args)
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			doc := &document{Command: "remove"}
			return a.close(doc, &o.changeOptions, runRemove(cmd.Context(), a, o, doc))
		},
		ValidArgsFunction: a.patternsThatAre(true),
	}
	o.flags(cmd)
	o.serviceFlags(cmd)
	return cmd
}

func runRemove(ctx context.Context, a *app, o *removeOptions, doc *document) error {
	if len(o.patterns) == 0 {
		return usagef("which patterns? Say `scaffold remove PATTERN...` (see `scaffold list`)")
	}
	c, s, before, err := a.begin(ctx, &o.changeOptions, o.patterns)
	if err != nil {
		return err
	}
	if err := inStep(c, s, before); err != nil {
		return err
	}
	want := s.manifest
	want.Patterns = slices.DeleteFunc(slices.Clone(want.Patterns), func(name string) bool { return slices.Contains(o.patterns, name) })
	after, _, err := c.Resolve(want.Patterns, nil)
	if err != nil {
		return inManifest(err)
	}
	for _, name := range o.patterns {
		switch {
		case after.Has(name):
			return usagef("%s: can't be removed%s; remove that first, or both", name, because(c, want, name))
		case !before.Has(name) && !o.json:
			a.printf("%s: is not there.\n", name)
		}
	}
	// An option goes with the last pattern that has it.
	want.Options = make(map[string]string)
	for name, value := range s.manifest.Options {
		if _, ok := after.Options[name]; ok {
			want.Options[name] = value
		}
	}
	gone := slices.DeleteFunc(slices.Clone(before.Patterns), after.Has)
	if len(gone) == 0 {
		doc.Service, doc.Result = describe(s.manifest, before), resultUnchanged
		return a.nothingToDo(&o.changeOptions)
	}
	title := fmt.Sprintf("%s: removing %s", s.manifest.Name, strings.Join(gone, ", "))
	d, err := a.change(ctx, s, want, &o.changeOptions, doc, title)
	if err == nil && d != nil && !o.json {
		a.printDone(c, d)
	}
	return err
}

// begin opens the service that a command is about to change, while the catalog is
// read. The names are those of patterns.
func (a *app) begin(ctx context.Context, o *changeOptions, names []string) (*catalog.Catalog, *service, catalog.Selection, error) {
	var before catalog.Selection
	if err := o.check(); err != nil {
		return nil, nil, before, err
	}
	decode()
	var s *service
	var unopened error
	var opening sync.WaitGroup
	opening.Go(func() { s, unopened = a.open(ctx, o.dir) })
	c, err := a.catalog()
	opening.Wait()
	if err != nil {
		return nil, nil, before, err
	}
	for _, name := range names {
		if _, err := c.Find(name); err != nil {
			return nil, nil, before, err
		}
	}
	if unopened != nil {
		return nil, nil, before, unopened
	}
	if err := a.checkPack(s.manifest); err != nil {
		return nil, nil, before, err
	}
	if before, _, err = resolve(c, s.manifest); err != nil {
		return nil, nil, before, inManifest(err)
	}
	return c, s, before, nil
}

// checkPack reports a service that a newer scaffold wrote: this one would take
// what is newer out again.
func (a *app) checkPack(m record.Manifest) error {
	wrote, ok := m.Packs[builtin]
	switch {
	case !ok:
		return nil
	case !gomod.IsVersion(wrote):
		return inManifest(fmt.Errorf("%s: %q is no version (write one as in %s, or take the file back from git)", builtin, wrote, a.version))
	case gomod.Newer(wrote, a.version):
		return fmt.Errorf("%s: was last written by scaffold %s, and this is %s: install that version or a newer one", record.ManifestFile, wrote, a.version)
	}
	return nil
}

// inManifest says that the mistake is in scaffold.yaml.
func inManifest(err error) error {
	return usagef("%s: %w", record.ManifestFile, err)
}

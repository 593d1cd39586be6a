package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newUpdate(a *app, runF func(context.Context, *changeOptions) error) *cobra.Command {
	o := new(changeOptions)
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Bring the service to the templates of this scaffold",
		Long: `Bring the service in this folder or above, which an older scaffold made or changed
last, to the templates of this one. What you edited is merged with what is new.

No older templates are needed, nor a network: what was last written is recorded
in the service's own .scaffold folder.`,
		GroupID: groupChange,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			doc := &document{Command: "update"}
			return a.close(doc, o, runUpdate(cmd.Context(), a, o, doc))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.flags(cmd)
	o.serviceFlags(cmd)
	return cmd
}

func runUpdate(ctx context.Context, a *app, o *changeOptions, doc *document) error {
	c, s, _, err := a.begin(ctx, o, nil)
	if err != nil {
		return err
	}
	title := fmt.Sprintf("%s: to the templates of scaffold %s", s.manifest.Name, a.version)
	if wrote := s.manifest.Packs[builtin]; wrote != "" && wrote != a.version {
		title = fmt.Sprintf("%s: from the templates of scaffold %s to those of %s", s.manifest.Name, wrote, a.version)
	}
	d, err := a.change(ctx, s, s.manifest, o, doc, title)
	if err == nil && d != nil && !o.json {
		a.printDone(c, d)
	}
	return err
}

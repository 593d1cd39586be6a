package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newApply(a *app, runF func(context.Context, *changeOptions) error) *cobra.Command {
	o := new(changeOptions)
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Make the service what its scaffold.yaml says",
		Long: `Make the service in this folder or above what its scaffold.yaml says. Edit that
file, or merge two branches of it, then run this: it is the same as add, remove
and set, all at once.`,
		GroupID: groupChange,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			doc := &document{Command: "apply"}
			return a.close(doc, o, runApply(cmd.Context(), a, o, doc))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.flags(cmd)
	o.serviceFlags(cmd)
	return cmd
}

func runApply(ctx context.Context, a *app, o *changeOptions, doc *document) error {
	c, s, _, err := a.begin(ctx, o, nil)
	if err != nil {
		return err
	}
	d, err := a.change(ctx, s, s.manifest, o, doc, fmt.Sprintf("%s: as scaffold.yaml says", s.manifest.Name))
	if err == nil && d != nil && !o.json {
		a.printDone(c, d)
	}
	return err
}

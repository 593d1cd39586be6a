package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/record"
)

func newCheck(a *app, runF func(context.Context, *changeOptions) error) *cobra.Command {
	o := &changeOptions{dryRun: true}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether apply would change anything, for CI",
		Long: `Exit with 0 if ` + "`scaffold apply`" + ` would change nothing in the service in this folder
or above, and with 4 if it would, with what. What you edited or deleted yourself
is no drift.`,
		GroupID: groupLook,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			doc := &document{Command: "check"}
			return a.close(doc, o, runCheck(cmd.Context(), a, o, doc))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	lookFlags(cmd, &o.dir, &o.json)
	return cmd
}

func runCheck(ctx context.Context, a *app, o *changeOptions, doc *document) error {
	_, s, _, err := a.begin(ctx, o, nil)
	if err != nil {
		return err
	}
	d, err := a.draft(s, s.manifest)
	if err != nil {
		return err
	}
	doc.draft(d)
	changes, err := d.changes()
	if err != nil {
		return err
	}
	if len(changes)+len(d.plan.Conflicts()) == 0 {
		doc.Result = resultUnchanged
		if !o.json {
			a.printf("%s is what %s says.\n", d.want.Name, record.ManifestFile)
		}
		return nil
	}
	drift := 0
	for _, step := range d.plan.Steps {
		if !step.Writes() && step.Action != plan.Conflict {
			continue
		}
		drift++
		if !o.json {
			a.printf("%-9s %s\n", step.Action, step.Path)
		}
	}
	what := count(drift, "file")
	if drift == 0 {
		what = "what is recorded of it"
	}
	return fmt.Errorf("%w: `scaffold apply` would change %s; run it and commit", errDrift, what)
}

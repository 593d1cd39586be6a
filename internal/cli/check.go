package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/record"
)

type checkOptions struct {
	changeOptions
	strict bool
}

func newCheck(a *app, runF func(context.Context, *checkOptions) error) *cobra.Command {
	o := &checkOptions{changeOptions: changeOptions{dryRun: true}}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether apply would change anything, for CI",
		Long: `Exit with 0 if ` + "`scaffold apply`" + ` would change nothing in the service in this folder
or above, and with 4 if it would, with what. What you edited or deleted yourself is
listed and is no drift, unless --strict says that it is.`,
		GroupID: groupLook,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			doc := &document{Command: "check"}
			return a.close(doc, &o.changeOptions, runCheck(cmd.Context(), a, o, doc))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	lookFlags(cmd, &o.dir, &o.json)
	cmd.Flags().BoolVar(&o.strict, "strict", false, "take your own edits and deletions for drift, too")
	return cmd
}

func runCheck(ctx context.Context, a *app, o *checkOptions, doc *document) error {
	_, s, _, err := a.begin(ctx, &o.changeOptions, nil)
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
	a.noteUnwired(d)
	a.noteUnrequired(d)
	drift, own := 0, 0
	for _, step := range d.plan.Steps {
		switch {
		case step.Writes() || step.Action == plan.Conflict:
			drift++
			a.checked(o, string(step.Action), step.Path)
		case step.Work == nil:
			own++
			a.checked(o, "deleted", step.Path)
		default:
			own++
			a.checked(o, "edited", step.Path)
		}
	}
	switch {
	case drift > 0:
		return fmt.Errorf("%w: `scaffold apply` would change %s; run it and commit", errDrift, count(drift, "file"))
	case len(changes) > 0:
		return fmt.Errorf("%w: `scaffold apply` would change what is recorded of the service; run it and commit", errDrift)
	case own > 0 && o.strict:
		return fmt.Errorf("%w: %s (--strict)", errDrift, ownEdits(own))
	}
	doc.Result = resultUnchanged
	if !o.json {
		said := ""
		if own > 0 {
			said = ", with " + ownEdits(own)
		}
		a.printf("%s is what %s says%s.\n", d.want.Name, record.ManifestFile, said)
	}
	return nil
}

// checked lists one file.
func (a *app) checked(o *checkOptions, what, path string) {
	if !o.json {
		a.printf("%-9s %s\n", what, path)
	}
}

func ownEdits(n int) string {
	if n == 1 {
		return "1 file that you edited or deleted"
	}
	return fmt.Sprintf("%d files that you edited or deleted", n)
}

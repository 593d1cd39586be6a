package cli

import (
	"context"
	"fmt"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/plan"
)

func newDiff(a *app, runF func(context.Context, *changeOptions) error) *cobra.Command {
	o := &changeOptions{dryRun: true}
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Show what apply would change, line by line",
		Long: `Show, as a unified diff, what ` + "`scaffold apply`" + ` would change in the service in this
folder or above.`,
		GroupID: groupLook,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			doc := &document{Command: "diff"}
			return a.close(doc, o, runDiff(cmd.Context(), a, o, doc))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	lookFlags(cmd, &o.dir, &o.json)
	return cmd
}

func runDiff(ctx context.Context, a *app, o *changeOptions, doc *document) error {
	_, s, _, err := a.begin(ctx, o, nil)
	if err != nil {
		return err
	}
	d, err := a.draft(s, s.manifest)
	if err != nil {
		return err
	}
	doc.draft(d)
	if o.json {
		return nil
	}
	for _, step := range d.plan.Changes() {
		a.printf("%s", unified(step))
	}
	for _, step := range d.plan.Conflicts() {
		a.printf("# %s: %s\n", step.Path, step.Why)
	}
	for _, step := range d.plan.Steps {
		if step.Action == plan.LeftOut {
			a.printf("# %s: %s\n", step.Path, step.Why)
		}
	}
	n := len(d.plan.Changes())
	a.notef("%s would change, %s", count(n, "file"), count(len(d.plan.Conflicts()), "conflict"))
	return nil
}

// unified is what the step changes, as a unified diff.
func unified(s plan.Step) string {
	from, to := "a/"+s.Path, "b/"+s.Path
	if s.Work == nil {
		from = "/dev/null"
	}
	if s.After == nil {
		to = "/dev/null"
	}
	out := udiff.Unified(from, to, text(s.Work), text(s.After))
	if s.ExecChanges() {
		out = fmt.Sprintf("# %s: executable %t to %t\n", s.Path, s.Work.Exec, s.After.Exec) + out
	}
	return out
}

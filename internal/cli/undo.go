package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/apply"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/record"
)

func newUndo(a *app, runF func(context.Context, *changeOptions) error) *cobra.Command {
	o := new(changeOptions)
	cmd := &cobra.Command{
		Use:   "undo",
		Short: "Take back the last command that changed the service",
		Long: `Take back what the last scaffold command changed in the service in this folder or
above: each file becomes again what it was before that command, your edits of that
time included.

All of them must still be as that command left them, or nothing is taken back. An
undo can't be taken back itself: run the command again.`,
		GroupID: groupChange,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			doc := &document{Command: "undo"}
			return a.close(doc, o, runUndo(cmd.Context(), a, o, doc))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.flags(cmd)
	cmd.Flags().StringVarP(&o.dir, "dir", "d", ".", "folder of the service")
	completeFolders(cmd, "dir")
	return cmd
}

func runUndo(ctx context.Context, a *app, o *changeOptions, doc *document) error {
	s, err := a.open(ctx, o.dir)
	if err != nil {
		return err
	}
	last, err := apply.ReadLast(s.root)
	var changed *apply.ChangedError
	switch {
	case errors.As(err, &changed):
		return fmt.Errorf("%s: changed since the last command; nothing was taken back: undo your own change first, or use git", few(owners(changed.Paths)))
	case err != nil:
		return err
	case last == nil:
		return errors.New("there is nothing to take back: no command has changed this service here, or it was taken back already (git has the rest)")
	}
	if doc.Root, err = filepath.Abs(s.root); err != nil {
		return err
	}
	steps := undoSteps(last)
	doc.Plan = &plan.Plan{Steps: steps}
	if !o.json {
		a.printf("%s: taking back `scaffold %s`\n\n", s.manifest.Name, last.Command)
		a.printSteps(steps)
	}
	if o.dryRun {
		if !o.json {
			a.printf("Nothing was written (--dry-run).\n")
		}
		return nil
	}
	if err := a.confirm(ctx, o); err != nil {
		return err
	}
	if err := apply.Apply(ctx, s.root, last.Changes); err != nil {
		return err
	}
	doc.Result, a.wrote = resultWritten, s.root
	if !o.json {
		a.printf("Done: %s.\n", tally(*doc.Plan))
	}
	return nil
}

// owners are the paths beside the record's, or all where there are none else.
func owners(paths []string) []string {
	seen := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return strings.HasPrefix(p, record.Dir+"/") })
	if len(seen) == 0 {
		return paths
	}
	return seen
}

// undoSteps are the changes to the service's own files, as a plan shows them.
func undoSteps(last *apply.Last) []plan.Step {
	var steps []plan.Step
	for _, c := range last.Changes {
		if strings.HasPrefix(c.Path, record.Dir+"/") {
			continue
		}
		step := plan.Step{Path: c.Path, Action: plan.Update, Why: "as it was before", Work: c.Before, After: c.After}
		switch {
		case c.Before == nil:
			step.Action = plan.Create
		case c.After == nil:
			step.Action, step.Why = plan.Delete, "was not there before"
		}
		steps = append(steps, step)
	}
	return steps
}

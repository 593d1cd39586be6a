package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/ask"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
)

type diffOptions struct {
	changeOptions
	color string
}

// When diff colours what it prints.
var colors = []string{"auto", "always", "never"}

func newDiff(a *app, runF func(context.Context, *diffOptions) error) *cobra.Command {
	o := &diffOptions{changeOptions: changeOptions{dryRun: true}}
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
			return a.close(doc, &o.changeOptions, runDiff(cmd.Context(), a, o, doc))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	lookFlags(cmd, &o.dir, &o.json)
	cmd.Flags().StringVar(&o.color, "color", "auto", "auto (at a terminal, unless NO_COLOR is set), always or never")
	complete(cmd, "color", colors)
	return cmd
}

func runDiff(ctx context.Context, a *app, o *diffOptions, doc *document) error {
	if !slices.Contains(colors, o.color) {
		return usagef("--color=%s: no such choice; use auto, always or never", o.color)
	}
	_, s, _, err := a.begin(ctx, &o.changeOptions, nil)
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
	paint := func(diff string) string { return diff }
	if o.color == "always" || o.color == "auto" && ask.Colors(a.out, a.getenv) {
		paint = colored
	}
	for _, step := range d.plan.Changes() {
		a.printf("%s", paint(unified(step)))
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

// The colours of a unified diff, as git has them: SGR sequences (ECMA-48).
const (
	bold  = "\x1b[1m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	cyan  = "\x1b[36m"
	reset = "\x1b[m"
)

// colored paints the lines of a unified diff of one file.
func colored(diff string) string {
	var out strings.Builder
	header := true
	for line := range strings.Lines(diff) {
		text := strings.TrimSuffix(line, "\n")
		color := ""
		switch {
		case strings.HasPrefix(text, "@@"):
			color, header = cyan, false
		case header:
			color = bold
		case strings.HasPrefix(text, "+"):
			color = green
		case strings.HasPrefix(text, "-"):
			color = red
		}
		if color != "" {
			text = color + text + reset
		}
		out.WriteString(text + line[len(strings.TrimSuffix(line, "\n")):])
	}
	return out.String()
}

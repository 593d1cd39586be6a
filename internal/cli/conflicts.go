package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/ask"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
)

// choices are the policies that can decide one of the conflicts.
func choices(conflicts []plan.Step) string {
	var names []string
	for _, p := range []plan.Policy{plan.Markers, plan.Mine, plan.Theirs} {
		if slices.ContainsFunc(conflicts, func(s plan.Step) bool { return slices.Contains(s.Conflict.Choices, p) }) {
			names = append(names, string(p))
		}
	}
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// unresolved reports a file that has conflict markers of an earlier change.
func unresolved(p plan.Plan) error {
	for _, step := range p.Steps {
		if line := step.Unresolved(); line > 0 {
			return fmt.Errorf("%s:%d: has a conflict that is not resolved (edit what stands between <<<<<<< and >>>>>>>, then run this again)", step.Path, line)
		}
	}
	return nil
}

// decide asks for each conflict of the draft what to do.
func (a *app) decide(terminal *ask.Terminal, d *draft) error {
	for _, step := range d.plan.Conflicts() {
		choices := conflictChoices(step)
		for {
			chosen, err := terminal.One(step.Path+": "+step.Why+".", string(plan.Mine), choices)
			if err != nil {
				return err
			}
			if chosen == showChoice {
				a.printConflict(step)
				continue
			}
			if d.plan, err = d.plan.ResolvePath(step.Path, plan.Policy(chosen)); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

const showChoice = "show"

func conflictChoices(s plan.Step) []ask.Choice {
	summaries := map[plan.Policy]string{
		plan.Mine:    "keep my file as it is",
		plan.Theirs:  "take the file of the templates",
		plan.Markers: "write both, with conflict markers to edit",
	}
	switch {
	case s.Conflict.Reason == plan.Types:
		summaries[plan.Markers] = "write the merge as it is, to mend it"
	case s.Next == nil:
		summaries[plan.Theirs] = "delete it, with my changes"
	case s.Work == nil:
		summaries[plan.Mine] = "leave it out"
		summaries[plan.Theirs] = "bring it back"
	}
	var choices []ask.Choice
	for _, p := range s.Conflict.Choices {
		choices = append(choices, ask.Choice{Name: string(p), Summary: summaries[p]})
	}
	return append(choices, ask.Choice{Name: showChoice, Summary: "show how they differ"})
}

// Package plan compares what was last written to a repository, what is to
// stand there next and what stands there now, and says file by file what has
// to be done and why.
//
// It is pure: the same trees give the same plan, nothing is read or written.
// It does not know where the trees come from, nor what a pattern is.
package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/merge"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// An Action says what a step does to its file.
type Action string

// The actions. The first four write, and Conflict waits for a decision.
const (
	Create   Action = "create"   // the file is new
	Update   Action = "update"   // the owner didn't touch it: next is taken
	Merge    Action = "merge"    // both changed it and the changes fit
	Delete   Action = "delete"   // the owner didn't touch it and next has it no more
	Keep     Action = "keep"     // the owner's version, or its absence, stays
	LeftOut  Action = "left out" // the owner deleted it, so that its update is not made
	Settled  Action = "settled"  // the owner's version is what next says already
	Conflict Action = "conflict" // a person has to decide
)

// A Reason is the sort of a conflict. The reasons of [merge.Reason] are reasons
// here, too.
type Reason string

// The reasons that no content can give.
const (
	Exists    Reason = "exists"    // the owner made a file where a new one should come
	Missing   Reason = "missing"   // the owner deleted what the rest can't do without
	Removed   Reason = "removed"   // the owner edited what the templates have no more
	Obstacle  Reason = "obstacle"  // a file stands where a directory should, or the reverse
	CaseClash Reason = "caseclash" // two paths that some file systems take for one
	Types     Reason = "types"     // the merge fits as text, and does not type-check
)

// A Policy is a way to decide a conflict.
type Policy string

// The policies. Mine and Theirs take the whole file.
const (
	Markers Policy = "markers" // write both versions between conflict markers, or what does not type-check
	Mine    Policy = "mine"    // leave the owner's file as it is
	Theirs  Policy = "theirs"  // take the templates' file, or its removal
)

// Undecided is what keeps a step from being carried out.
type Undecided struct {
	Reason Reason `json:"reason"`
	// Choices are the policies that can decide it.
	Choices []Policy `json:"choices"`
	// Places are the conflicts inside the file, with lines in the draft that
	// Markers would write.
	Places []merge.Conflict `json:"places,omitempty"`

	draft *tree.File
}

// A Step is what the plan holds for one path. A nil file is an absent one.
type Step struct {
	Path string `json:"path"`
	// From is the path at which the owner renamed the file to Path, if so. Base and
	// Next are of that one.
	From   string `json:"from,omitempty"`
	Action Action `json:"action"`
	// Why is one clause in the owner's words.
	Why string `json:"why"`
	// Notes tell what a merge decided by itself.
	Notes []string `json:"notes,omitempty"`
	// Decided is the policy that settled a conflict, if one did.
	Decided Policy `json:"decided,omitempty"`
	// Conflict is set while Action is [Conflict], and stays for the record when
	// a policy has decided it.
	Conflict *Undecided `json:"conflict,omitempty"`

	// Base was last written, Next is to be, Work stands there now.
	Base, Next, Work *tree.File `json:"-"`
	// After is what will stand there. While a conflict is undecided it is Work.
	After *tree.File `json:"-"`
}

// Writes reports whether the step changes the file.
func (s Step) Writes() bool { return !same(s.Work, s.After) }

// ExecChanges reports whether only the executable bit changes.
func (s Step) ExecChanges() bool {
	return s.Work != nil && s.After != nil && s.Work.Exec != s.After.Exec
}

// A Plan is the steps in the order of their paths. Paths on which base, next
// and work agree have no step. It marshals to JSON without the files' bytes.
type Plan struct {
	Steps []Step
}

// MarshalJSON writes the steps, their summary and whether the plan is complete.
func (p Plan) MarshalJSON() ([]byte, error) {
	steps := p.Steps
	if steps == nil {
		steps = []Step{}
	}
	return json.Marshal(struct {
		Complete bool    `json:"complete"`
		Summary  Summary `json:"summary"`
		Steps    []Step  `json:"steps"`
	}{len(p.Conflicts()) == 0, p.Summary(), steps})
}

// Summary counts a plan's steps by action.
type Summary struct {
	Create    int `json:"create"`
	Update    int `json:"update"`
	Merge     int `json:"merge"`
	Delete    int `json:"delete"`
	Keep      int `json:"keep"`
	LeftOut   int `json:"left_out"`
	Settled   int `json:"settled"`
	Conflicts int `json:"conflicts"`
}

// Summary counts the steps.
func (p Plan) Summary() Summary {
	var s Summary
	for _, step := range p.Steps {
		switch step.Action {
		case Create:
			s.Create++
		case Update:
			s.Update++
		case Merge:
			s.Merge++
		case Delete:
			s.Delete++
		case Keep:
			s.Keep++
		case LeftOut:
			s.LeftOut++
		case Settled:
			s.Settled++
		case Conflict:
			s.Conflicts++
		}
	}
	return s
}

// Changes returns the steps that write, in order. With undecided conflicts it
// is not the whole plan.
func (p Plan) Changes() []Step { return p.filter(Step.Writes) }

// Conflicts returns the steps that wait for a decision, in order.
func (p Plan) Conflicts() []Step {
	return p.filter(func(s Step) bool { return s.Action == Conflict })
}

func (p Plan) filter(keep func(Step) bool) []Step {
	var steps []Step
	for _, s := range p.Steps {
		if keep(s) {
			steps = append(steps, s)
		}
	}
	return steps
}

// Replace returns the plan with the steps of other, which is a plan for these paths, in
// the place of its own for them. The receiver is unchanged.
func (p Plan) Replace(other Plan, paths ...string) Plan {
	kept := p.filter(func(s Step) bool { return !slices.Contains(paths, s.Path) })
	steps := append(kept, other.Steps...)
	slices.SortFunc(steps, func(a, b Step) int { return strings.Compare(a.Path, b.Path) })
	return Plan{Steps: steps}
}

// Step returns the step for a path, or for the file that the owner renamed from it, if
// there is one.
func (p Plan) Step(path string) (Step, bool) {
	for _, s := range p.Steps {
		if s.Path == path || s.From == path {
			return s, true
		}
	}
	return Step{}, false
}

// Resolve returns the plan with every conflict decided by policy that policy
// can decide. The others stay: ask [Plan.Conflicts]. The receiver is unchanged.
func (p Plan) Resolve(policy Policy) Plan {
	out := Plan{Steps: slices.Clone(p.Steps)}
	for i, s := range out.Steps {
		if s.Action == Conflict && slices.Contains(s.Conflict.Choices, policy) {
			out.Steps[i] = s.decide(policy)
		}
	}
	return out
}

// ResolvePath returns the plan with the conflict at one path decided. It is an
// error if there is none, or if the policy can't decide it. The receiver is
// unchanged.
func (p Plan) ResolvePath(path string, policy Policy) (Plan, error) {
	for i, s := range p.Steps {
		if s.Path != path || s.Action != Conflict {
			continue
		}
		if !slices.Contains(s.Conflict.Choices, policy) {
			return p, fmt.Errorf("%s: can't be decided by %q, only by one of %q", path, policy, s.Conflict.Choices)
		}
		out := Plan{Steps: slices.Clone(p.Steps)}
		out.Steps[i] = s.decide(policy)
		return out, nil
	}
	return p, fmt.Errorf("%s: has no conflict to decide", path)
}

// Doubt returns the plan with the merge at path a conflict, because of what a
// type checker says of it. The receiver is unchanged.
func (p Plan) Doubt(path, problem string) Plan {
	out := Plan{Steps: slices.Clone(p.Steps)}
	for i, s := range out.Steps {
		if s.Path == path && s.Action == Merge {
			merged := s.After
			s.conflict(Types, "you and its template changed it, and the merge does not type-check: "+problem, Mine, Theirs, Markers)
			s.Conflict.draft = merged
			out.Steps[i] = s
		}
	}
	return out
}

func (s Step) decide(policy Policy) Step {
	s.Decided = policy
	switch policy {
	case Mine:
		s.Action, s.After = Keep, s.Work
		if s.Conflict.Reason == Missing {
			s.Action = LeftOut
		}
	case Theirs:
		s.Action, s.After = Update, s.Next
		switch {
		case s.Next == nil:
			s.Action = Delete
		case s.Conflict.Reason == Missing:
			s.Action = Create
		}
	case Markers:
		s.Action, s.After = Merge, s.Conflict.draft
	}
	return s
}

func same(f, g *tree.File) bool {
	if f == nil || g == nil {
		return f == g
	}
	return f.Equal(*g)
}

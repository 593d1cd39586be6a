package ask

import (
	"fmt"
	"strings"

	"github.com/AlecAivazis/survey/v2"
	"github.com/AlecAivazis/survey/v2/core"
	"github.com/AlecAivazis/survey/v2/terminal"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
)

// Patterns asks which of the patterns to take, in the catalog's order. Each line
// has its family, so that typing finds a pattern by its family, its name or a
// word of what is said of it.
func (t *Terminal) Patterns(question string, c *catalog.Catalog, patterns []*catalog.Pattern) ([]string, error) {
	columns, rows := t.size()
	names := make([]string, len(patterns))
	options := make([]string, len(patterns))
	texts := make([]string, len(patterns))
	for i, p := range patterns {
		names[i] = p.Name
		family := c.FamilyOf(p)
		options[i] = cut(fmt.Sprintf("%s · %s – %s", family.Name, p.Name, p.Summary), columns-8)
		// On a narrow screen the end of a line is not seen, and still searched.
		texts[i] = strings.Join([]string{family.Name, family.Title, p.Name, p.Title, p.Summary, p.Guidance.Use}, " ")
	}
	p := &survey.MultiSelect{
		Message:  question,
		Options:  options,
		PageSize: t.page(question, multiHint, len(options)),
		Filter:   searcher(texts),
	}
	// The help stands above the question once it was asked for: only where there
	// is room for both.
	if page := rows - lines(patternsHelp, columns) - lines(question+multiHint, columns) - 2; page >= min(5, len(options)) {
		p.Help, p.PageSize = patternsHelp, min(page, len(options))
	}
	t.in.still = func() bool {
		for i := range texts {
			if p.Filter(p.FilterMessage, "", i) {
				return false
			}
		}
		return true
	}
	defer func() { t.in.still = nil }()
	var at []int
	if err := t.ask(many{p, names}, &at, nil); err != nil {
		return nil, err
	}
	chosen := make([]string, len(at))
	for i, n := range at {
		chosen[i] = names[n]
	}
	return chosen, nil
}

const patternsHelp = "Take none for a service without patterns: `scaffold add` adds them at any time, and `scaffold explain PATTERN` says when each is the right one."

// many and one show the names of what was chosen when the question is over,
// instead of the whole lines.
type (
	many struct {
		*survey.MultiSelect
		names []string
	}
	one struct {
		*survey.Select
		names []string
	}
)

// Cleanup implements survey.Prompt.
func (m many) Cleanup(config *survey.PromptConfig, answer any) error {
	chosen := answer.([]core.OptionAnswer)
	short := make([]core.OptionAnswer, len(chosen))
	for i, a := range chosen {
		short[i].Value = m.names[a.Index]
	}
	if len(short) == 0 {
		short = []core.OptionAnswer{{Value: "none"}}
	}
	return m.MultiSelect.Cleanup(config, short)
}

// Cleanup implements survey.Prompt.
func (o one) Cleanup(config *survey.PromptConfig, answer any) error {
	return o.Select.Cleanup(config, core.OptionAnswer{Value: o.names[answer.(core.OptionAnswer).Index]})
}

// searcher returns a filter over texts that stand for the options: those that
// have each word of what was typed.
func searcher(texts []string) func(typed, line string, i int) bool {
	folded := make([]string, len(texts))
	for i, text := range texts {
		folded[i] = strings.ToLower(text)
	}
	return func(typed, _ string, i int) bool {
		for w := range strings.FieldsSeq(strings.ToLower(typed)) {
			if !strings.Contains(folded[i], w) {
				return false
			}
		}
		return true
	}
}

// cut shortens s to a number of cells, since survey counts a line that wraps
// wrongly and draws over it.
func cut(s string, cells int) string {
	if terminal.StringWidth(s) <= cells {
		return s
	}
	end := 0
	for i := range s {
		if terminal.StringWidth(s[:i]) > max(0, cells-1) {
			break
		}
		end = i
	}
	return s[:end] + "…"
}

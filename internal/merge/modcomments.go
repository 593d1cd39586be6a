package merge

import (
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// fold makes one line of several of ours that require the same module, with all that
// is written on them: what sets requirements would keep the comments of the first.
func (m *modMerge) fold() {
	stays := make(map[string]*modfile.Require)
	folded := make(map[*modfile.Line]*modfile.Line)
	m.ours.Require = slices.DeleteFunc(m.ours.Require, func(r *modfile.Require) bool {
		first, twice := stays[r.Mod.Path]
		if !twice {
			stays[r.Mod.Path] = r
			return false
		}
		if semver.Compare(r.Mod.Version, first.Mod.Version) > 0 {
			first.Mod.Version = r.Mod.Version
		}
		first.Indirect = first.Indirect && r.Indirect
		moveComments(first.Syntax, &r.Syntax.Comments)
		folded[r.Syntax] = first.Syntax
		r.Syntax.Token = nil // what Cleanup takes out
		return true
	})
	for _, stmt := range m.ours.Syntax.Stmt {
		block, ok := stmt.(*modfile.LineBlock)
		if !ok || len(block.Line) == 0 || slices.ContainsFunc(block.Line, func(l *modfile.Line) bool { return l.Token != nil }) {
			continue
		}
		to := folded[block.Line[0]]
		for _, c := range []*modfile.Comments{&block.Comments, &block.LParen.Comments, &block.RParen.Comments} {
			moveComments(to, c)
		}
	}
	if len(folded) > 0 {
		m.ours.Cleanup()
	}
}

// moveComments puts comments on a line: whole lines above it, and what stands behind
// others behind its own.
func moveComments(to *modfile.Line, from *modfile.Comments) {
	to.Before = append(to.Before, slices.DeleteFunc(slices.Concat(from.Before, from.After), func(c modfile.Comment) bool {
		return c.Token == "" // a blank line
	})...)
	for _, c := range from.Suffix {
		text := suffixText(c)
		switch {
		case text == "":
		case len(to.Suffix) == 0:
			to.Suffix = []modfile.Comment{{Token: "// " + text, Suffix: true}}
		default:
			to.Suffix[0].Token += "; " + text
		}
	}
	*from = modfile.Comments{}
}

// suffixText is what a comment says besides that a requirement is indirect.
func suffixText(c modfile.Comment) string {
	text := strings.TrimSpace(strings.TrimPrefix(c.Token, "//"))
	if text == "indirect" {
		return ""
	}
	return strings.TrimSpace(strings.TrimPrefix(text, "indirect;"))
}

// lost notes each comment that the owner wrote and that went with its line.
func (m *modMerge) lost(owners map[string]int, merged []byte) {
	kept := modComments(merged)
	var lost []string
	for text, n := range owners {
		if n > kept[text] {
			lost = append(lost, text)
		}
	}
	slices.Sort(lost)
	for _, text := range lost {
		m.notef("your comment %q is left out: what it stood at is gone", text)
	}
}

// modComments counts what the comments of a go.mod say. Those that are joined behind
// one requirement count one by one.
func modComments(data []byte) map[string]int {
	count := make(map[string]int)
	for line := range strings.Lines(string(data)) {
		_, comment, _ := strings.Cut(line, "//")
		for text := range strings.SplitSeq(comment, ";") {
			if text = strings.TrimSpace(text); text != "" && text != "indirect" {
				count[text]++
			}
		}
	}
	return count
}

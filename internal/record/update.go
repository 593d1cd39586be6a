package record

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// header opens a new manifest.
const header = `# What this service is made of. scaffold keeps it up to date; you may edit it
# too: run ` + "`scaffold apply`" + ` to make the service what it says.
`

// Update returns the text of m. Without prev that is a new file. With prev, which
// must be what Parse takes, only the lines that differ are changed: comments,
// blank lines and order stay the owner's, and new entries go where they sort.
// If prev says what m says, it is returned as it is.
func (m Manifest) Update(prev []byte) ([]byte, error) {
	m.Patterns = slices.Compact(slices.Sorted(slices.Values(m.Patterns)))
	if m.Patterns == nil {
		m.Patterns = []string{}
	}
	if prev == nil {
		return m.text(), nil
	}
	d, err := parse(ManifestFile, prev)
	if err != nil {
		return nil, err
	}
	if d.equal(m) {
		return prev, nil
	}
	e := &editor{document: d, insert: map[int][]string{}, drop: map[int]bool{}, newline: "\n"}
	if strings.HasSuffix(d.lines[0], "\r\n") {
		e.newline = "\r\n"
	}
	e.scalar(d.vals[keyName], m.Name)
	e.scalar(d.vals[keyModule], m.Module)
	e.list(m.Patterns)
	e.mapping(keyOptions, m.Options)
	e.mapping(keyPacks, m.Packs)
	next := e.text()
	if got, err := Parse(ManifestFile, next); err != nil || !got.equal(m) {
		return nil, fmt.Errorf("%s: can't be edited without losing what stands in it; put its entries one a line, then run this again", ManifestFile)
	}
	return next, nil
}

func (m Manifest) text() []byte {
	var b strings.Builder
	b.WriteString(header)
	fmt.Fprintf(&b, "%s: %s\n%s: %s\n", keyName, quote(m.Name), keyModule, quote(m.Module))
	// Two branches meet here line by line: no list has brackets where it is empty,
	// and lines that never change stand between the lists.
	fmt.Fprintf(&b, "\n# The patterns that were asked for; what they require comes with them.\n%s:\n", keyPatterns)
	for _, p := range m.Patterns {
		fmt.Fprintf(&b, "  - %s\n", quote(p))
	}
	b.WriteString("\n# What was chosen where a pattern has alternatives.\n" + section(keyOptions, m.Options, "\n"))
	b.WriteString("\n# The templates that it was last written from.\n" + section(keyPacks, m.Packs, "\n"))
	return []byte(b.String())
}

func section(key string, m map[string]string, newline string) string {
	s := key + ":" + newline
	for _, k := range slices.Sorted(maps.Keys(m)) {
		s += "  " + quote(k) + ": " + quote(m[k]) + newline
	}
	return s
}

// quote writes s as YAML text on one line, with quotes only if it needs them.
func quote(s string) string {
	n := yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.ContainsAny(s, "\n\r") {
		n.Style = yaml.DoubleQuotedStyle
	}
	text, err := yaml.Marshal(&n)
	if err != nil { // no text has ever been found that can't be marshalled
		return fmt.Sprintf("%q", s)
	}
	return strings.TrimSuffix(string(text), "\n")
}

// An editor collects changes to a document's lines. Line numbers count from 1.
type editor struct {
	*document
	insert  map[int][]string // after this line
	drop    map[int]bool
	newline string
}

// scalar replaces a value in its line.
func (e *editor) scalar(n *yaml.Node, value string) {
	if n.Value == value {
		return
	}
	start, end, _ := e.token(n)
	line := e.lines[n.Line-1]
	e.lines[n.Line-1] = line[:start] + quote(value) + line[end:]
}

// list makes the patterns those of want, which is sorted.
func (e *editor) list(want []string) {
	n := e.vals[keyPatterns]
	e.entries(keyPatterns, n.Content, n.Content, want, "  - ", quote)
}

// mapping makes the entries of key those of want.
func (e *editor) mapping(key string, want map[string]string) {
	n := e.vals[key]
	if n == nil {
		if len(want) > 0 {
			last := e.lastLine(keyPatterns)
			e.insert[last] = append(e.insert[last], section(key, want, e.newline))
		}
		return
	}
	var ks, vs []*yaml.Node
	for i := 0; i < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if value, ok := want[k.Value]; ok {
			e.scalar(v, value)
		}
		ks, vs = append(ks, k), append(vs, v)
	}
	e.entries(key, ks, vs, slices.Sorted(maps.Keys(want)), "  ", func(k string) string {
		return quote(k) + ": " + quote(want[k])
	})
}

// entries drops and inserts lines below key, so that its entries are those of
// want. Each entry starts at one of starts and ends at the same of ends.
func (e *editor) entries(key string, starts, ends []*yaml.Node, want []string, prefix string, text func(string) string) {
	var there []string
	for i, n := range starts {
		there = append(there, n.Value)
		if i == 0 {
			start, _, _ := e.token(n)
			prefix = e.lines[n.Line-1][:start]
		}
		if !slices.Contains(want, n.Value) {
			for l := n.Line; l <= ends[i].Line; l++ {
				e.drop[l] = true
			}
			// What the owner has written behind it stays, on a line of its own.
			if comment := cmp.Or(n.LineComment, ends[i].LineComment); comment != "" {
				line := e.lines[n.Line-1]
				indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
				e.insert[ends[i].Line] = append(e.insert[ends[i].Line], indent+comment+e.newline)
			}
		}
	}
	at := e.keys[key]
	for _, w := range want {
		if slices.Contains(there, w) {
			continue
		}
		after := at.Line
		for i, v := range there {
			if v > w {
				break
			}
			after = ends[i].Line
		}
		e.insert[after] = append(e.insert[after], prefix+text(w)+e.newline)
	}
	if len(there) == 0 && len(want) > 0 {
		e.brackets(key)
	}
}

// brackets takes the brackets of an empty list out: it needs none.
func (e *editor) brackets(key string) {
	v := e.vals[key]
	pair := map[yaml.Kind]string{yaml.SequenceNode: "[]", yaml.MappingNode: "{}"}[v.Kind]
	if pair == "" || v.Style&yaml.FlowStyle == 0 {
		return
	}
	line := e.lines[v.Line-1]
	before, after, _ := strings.Cut(line, pair)
	e.lines[v.Line-1] = strings.TrimRight(before, " ") + after
}

// lastLine is the last line that belongs to key.
func (e *editor) lastLine(key string) int {
	last := e.keys[key].Line
	for _, n := range e.vals[key].Content {
		last = max(last, n.Line)
	}
	return last
}

func (e *editor) text() []byte {
	var b strings.Builder
	for i, line := range e.lines {
		if !e.drop[i+1] {
			b.WriteString(line)
		}
		if len(e.insert[i+1]) == 0 {
			continue
		}
		if !strings.HasSuffix(line, "\n") {
			b.WriteString(e.newline)
		}
		for _, s := range e.insert[i+1] {
			b.WriteString(s)
		}
	}
	return []byte(b.String())
}

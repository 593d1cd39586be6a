package merge

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// mergeYAML merges by lines, and where that conflicts or loses a key, again
// entry by entry. It moves whole lines and never encodes anew, so that comments
// and the owner's style stay.
//
// If ours and theirs parse, so does a clean result, and it has every key of both
// sides that the other did not remove. A base that does not parse, as where git
// joined the lines of two branches, is no version of the file and removes nothing.
func mergeYAML(base, ours, theirs []byte, labels Labels) Result {
	lines := newMerge3(base, ours, theirs)
	byLines := lines.render(labels)
	var files [3]*yamlFile
	for i, data := range [][]byte{base, ours, theirs} {
		files[i] = parseYAML(data)
		if i == 0 && files[i] == nil {
			files[i] = parseYAML(nil)
		}
		if files[i] == nil {
			return byLines
		}
	}
	o, a, b := files[0], files[1], files[2]
	sound := func(data []byte) bool {
		f := parseYAML(data)
		return f != nil && holds(f.root, o.root, a.root, b.root) && holds(f.root, o.root, b.root, a.root)
	}
	if byLines.Clean() && sound(byLines.Data) {
		return byLines
	}
	if data, ok := mergeEntries(o, a, b); ok && sound(data) {
		return Result{Data: data}
	}
	if byLines.Clean() {
		return lines.renderAll(labels, Syntax, "merged line by line it does not have every entry of both sides where it was")
	}
	return byLines
}

// A yamlFile is a version of a file with one document.
type yamlFile struct {
	lines []string
	root  *yaml.Node // nil for an empty document
}

// parseYAML returns nil for what does not parse, has a key twice or is more
// than one document.
func parseYAML(data []byte) *yamlFile {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	f := &yamlFile{lines: slices.Collect(strings.Lines(string(data)))}
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return f
	}
	if err != nil || !errors.Is(dec.Decode(&second), io.EOF) || len(doc.Content) != 1 {
		return nil
	}
	f.root = doc.Content[0]
	if !keysDistinct(f.root) {
		return nil
	}
	return f
}

func keysDistinct(n *yaml.Node) bool {
	if n.Kind == yaml.MappingNode {
		seen := map[string]bool{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if seen[key] {
				return false
			}
			seen[key] = true
		}
	}
	for _, c := range n.Content {
		if !keysDistinct(c) {
			return false
		}
	}
	return true
}

// holds reports whether merged has what side changed in base: every key but
// those that other removed, every new value, every new element of a list.
func holds(merged, base, side, other *yaml.Node) bool {
	switch {
	case equalNodes(base, side):
		return true
	case side == nil:
		return merged == nil || !equalNodes(other, base)
	case merged == nil || merged.Kind != side.Kind:
		return false
	}
	switch side.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(side.Content); i += 2 {
			key := side.Content[i].Value
			b, o := value(base, key), value(other, key)
			if b != nil && o == nil {
				continue
			}
			if !holds(value(merged, key), b, side.Content[i+1], o) {
				return false
			}
		}
		return true
	case yaml.SequenceNode:
		for _, e := range side.Content {
			same := func(x *yaml.Node) bool { return equalNodes(x, e) }
			isNew := base == nil || !slices.ContainsFunc(base.Content, same)
			if isNew && e.Kind != yaml.MappingNode && !slices.ContainsFunc(merged.Content, same) {
				return false
			}
		}
		return true
	default:
		return equalNodes(merged, side)
	}
}

// value returns what a mapping has at a key, or nil.
func value(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func equalNodes(x, y *yaml.Node) bool {
	if x == nil || y == nil {
		return x == y
	}
	return x.Kind == y.Kind && x.Tag == y.Tag && x.Value == y.Value && x.Anchor == y.Anchor &&
		slices.EqualFunc(x.Content, y.Content, equalNodes)
}

// A block is a mapping or a sequence whose entries stand on lines of their own.
type block struct {
	kind    yaml.Kind
	head    string // the lines before the first entry that are no comment
	items   []item
	entries map[string]entry
}

// An entry is an element of a block: its value, the lines below its first one,
// and that line.
type entry struct {
	value    *yaml.Node
	first    string
	from, to int
}

func mergeEntries(o, a, b *yamlFile) ([]byte, bool) {
	text, ok := mergeBlocks([3]*yamlFile{o, a, b}, [3]*block{
		o.block(o.root, 0, len(o.lines)), a.block(a.root, 0, len(a.lines)), b.block(b.root, 0, len(b.lines)),
	})
	return []byte(text), ok
}

func mergeBlocks(files [3]*yamlFile, blocks [3]*block) (string, bool) {
	o, a, b := blocks[0], blocks[1], blocks[2]
	if a == nil || b == nil || a.kind != b.kind {
		return "", false
	}
	if o == nil || o.kind != a.kind {
		o = &block{kind: a.kind, head: a.head}
	}
	head, ok := mergeString(o.head, a.head, b.head)
	if !ok {
		return "", false
	}
	items, ok := mergeItems(o.items, a.items, b.items, func(base, ours, theirs *item) (string, bool) {
		entries := [3]entry{{}, a.entries[ours.key], b.entries[theirs.key]}
		if base != nil {
			entries[0] = o.entries[base.key]
		}
		return mergeEntry(files, entries)
	})
	return head + write(items), ok
}

// mergeEntry merges what is below an entry that both sides changed.
func mergeEntry(files [3]*yamlFile, entries [3]entry) (string, bool) {
	o, a, b := entries[0], entries[1], entries[2]
	first := o.first
	if o.value == nil {
		first = a.first
	}
	first, ok := three(first, a.first, b.first)
	if !ok {
		return "", false
	}
	var blocks [3]*block
	for i, e := range entries {
		if e.value != nil {
			blocks[i] = files[i].block(e.value, e.from, e.to)
		}
	}
	below, ok := mergeBlocks(files, blocks)
	return first + below, ok
}

// block cuts the lines from..to, in which n stands, into its entries, or
// returns nil if they do not stand on lines of their own.
func (f *yamlFile) block(n *yaml.Node, from, to int) *block {
	if n == nil || n.Style&yaml.FlowStyle != 0 || len(n.Content) == 0 {
		return nil
	}
	b := &block{kind: n.Kind, entries: map[string]entry{}}
	var starts []int
	var names []string
	var values []*yaml.Node
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			starts = append(starts, n.Content[i].Line-1)
			names = append(names, n.Content[i].Value)
			values = append(values, n.Content[i+1])
		}
	case yaml.SequenceNode:
		for _, e := range n.Content {
			starts = append(starts, e.Line-1)
			names = append(names, elementName(e))
			values = append(values, e)
		}
	default:
		return nil
	}
	indent := strings.Repeat(" ", n.Column-1)
	for i, at := range starts {
		if at < from || at >= to || !f.startsEntry(at, indent, n.Kind) {
			return nil
		}
		end := to
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		if end <= at {
			return nil
		}
		before := b.comments(f.lines[from:at])
		if before == nil {
			return nil
		}
		last := at + 1
		for j := at + 1; j < end; j++ { // up to the next entry's comments
			if text := strings.TrimSpace(f.lines[j]); text != "" && !strings.HasPrefix(f.lines[j], indent+"#") {
				last = j + 1
			}
		}
		if i+1 == len(starts) {
			last = end
		}
		body := ended(f.lines[at:last])
		before.key, before.body, before.norm = names[i], body, strings.TrimRight(body, " \r\n")
		b.items = append(b.items, *before)
		b.entries[names[i]] = entry{value: values[i], first: ended(f.lines[at : at+1]), from: at + 1, to: last}
		from = last
	}
	if !distinct(b.items) {
		return nil
	}
	return b
}

// startsEntry reports whether a line starts an entry that is indented so.
func (f *yamlFile) startsEntry(at int, indent string, kind yaml.Kind) bool {
	rest, ok := strings.CutPrefix(f.lines[at], indent)
	if !ok || rest == "" || rest[0] == ' ' {
		return false
	}
	isElement := rest[0] == '-' && (len(rest) == 1 || strings.ContainsRune(" \r\n", rune(rest[1])))
	return isElement == (kind == yaml.SequenceNode)
}

// comments sorts the lines before an entry: a comment right above belongs to it
// and is returned, one that stands by itself becomes an item, and other lines
// (a document's start) may only stand before the first entry.
func (b *block) comments(lines []string) *item {
	it := &item{}
	for _, l := range lines {
		text := strings.TrimSpace(l)
		switch {
		case text == "":
			if it.lead != "" {
				b.items = append(b.items, item{key: "# " + it.lead, gap: it.gap, body: it.lead, norm: it.lead})
				*it = item{}
			}
			it.gap += l
		case strings.HasPrefix(text, "#"):
			it.lead += l
		case len(b.items) > 0:
			return nil
		default:
			b.head += it.gap + it.lead + l
			*it = item{}
		}
	}
	return it
}

// elementName returns what an element of a sequence is known by: its value, or
// the name, id or action of a mapping.
func elementName(e *yaml.Node) string {
	if e.Kind == yaml.ScalarNode {
		return e.Value
	}
	for _, key := range []string{"name", "id", "uses"} {
		if v := value(e, key); v != nil && v.Kind == yaml.ScalarNode {
			return key + " " + v.Value
		}
	}
	text, err := yaml.Marshal(e)
	if err != nil {
		return ""
	}
	return string(text)
}

// ended joins lines and ends the last one, so that others can follow.
func ended(lines []string) string {
	text := strings.Join(lines, "")
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text
}

// Package record owns what scaffold remembers in a user's repository: the
// manifest scaffold.yaml, which a person may edit, and .scaffold/, which holds
// the files as they were last written, for merging.
//
// It turns both into values and back. It writes nothing, and does not know what
// a pattern or an option means.
package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// ManifestFile is the path of the manifest at a service's root.
const ManifestFile = "scaffold.yaml"

// A Manifest says what a service is made of.
type Manifest struct {
	Name     string            // of the service, and of its command
	Module   string            // Go module path
	Patterns []string          // sorted
	Options  map[string]string // option → chosen value
	Packs    map[string]string // pack → version that was last written
}

// equal reports whether m and o, both with sorted patterns, say the same.
func (m Manifest) equal(o Manifest) bool {
	return m.Name == o.Name && m.Module == o.Module && slices.Equal(m.Patterns, o.Patterns) &&
		maps.Equal(m.Options, o.Options) && maps.Equal(m.Packs, o.Packs)
}

// The keys of a manifest, in the order in which a new one has them.
const (
	keyName     = "name"
	keyModule   = "module"
	keyPatterns = "patterns"
	keyOptions  = "options"
	keyPacks    = "packs"
)

// keys are the known keys; all but the options have to be there.
var keys = [...]string{keyName, keyModule, keyPatterns, keyOptions, keyPacks}

// Parse reads a manifest. It takes only what Update could have written and a
// person would write: each known key once, each value text on one line, each
// pattern on a line of its own. Anything else is an error that starts with
// file:line.
func Parse(file string, data []byte) (Manifest, error) {
	d, err := parse(file, data)
	if err != nil {
		return Manifest{}, err
	}
	return d.Manifest, nil
}

// A document is a manifest with where each part of it stands.
type document struct {
	Manifest
	file  string
	lines []string // with their line ends
	keys  map[string]*yaml.Node
	vals  map[string]*yaml.Node
}

func parse(file string, data []byte) (*document, error) {
	if err := checkText(file, data); err != nil {
		return nil, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s:1: is empty (take it back from git, or delete it and .scaffold to begin anew)", file)
		}
		return nil, syntaxError(file, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, syntaxError(file, err)
		}
		return nil, fmt.Errorf("%s:1: holds more than one document (remove all after the line with ---)", file)
	}
	d := &document{
		file:  file,
		lines: strings.SplitAfter(string(data), "\n"),
		keys:  map[string]*yaml.Node{},
		vals:  map[string]*yaml.Node{},
	}
	if err := d.topLevel(doc.Content[0]); err != nil {
		return nil, err
	}
	return d, d.values()
}

// checkText reports what YAML takes for the end of a line, and an editor does not, and
// text in UTF-16, which YAML takes, too: places would be counted in two ways.
func checkText(file string, data []byte) error {
	lines := bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	for i, line := range bytes.Split(lines, []byte("\n")) {
		if !utf8.Valid(line) {
			return fmt.Errorf("%s:%d: is not UTF-8 (save the file as that, or take it back from git)", file, i+1)
		}
		if at := bytes.IndexAny(line, "\r\u0085\u2028\u2029"); at >= 0 {
			r, _ := utf8.DecodeRune(line[at:])
			return fmt.Errorf("%s:%d: %U ends a line in YAML and nowhere else (end lines in LF or CRLF, or take the file back from git)", file, i+1, r)
		}
	}
	return nil
}

func (d *document) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", d.file, n.Line, fmt.Sprintf(format, args...))
}

func (d *document) topLevel(top *yaml.Node) error {
	if top.Kind != yaml.MappingNode || top.Style&yaml.FlowStyle != 0 {
		return d.errorf(top, "is not a list of `key: value` lines (the keys are %s)", strings.Join(keys[:], ", "))
	}
	for i := 0; i < len(top.Content); i += 2 {
		k, v := top.Content[i], top.Content[i+1]
		if !slices.Contains(keys[:], k.Value) {
			return d.errorf(k, "unknown key %q (remove it; the keys are %s)", k.Value, strings.Join(keys[:], ", "))
		}
		if first, ok := d.keys[k.Value]; ok {
			return d.errorf(k, "key %q stands here and in line %d (remove one)", k.Value, first.Line)
		}
		d.keys[k.Value], d.vals[k.Value] = k, v
	}
	for _, k := range keys {
		if d.keys[k] == nil && k != keyOptions {
			return d.errorf(top, "key %q is missing (add it; %s)", k, examples[k])
		}
	}
	return nil
}

// examples show how a key is written.
var examples = map[string]string{
	keyName:     "as in `name: orders`",
	keyModule:   "as in `module: acme.com/orders`",
	keyPatterns: "`patterns:` with nothing below if there are none",
	keyPacks:    "`packs: {builtin: …}` stands in git's history of this file",
}

func (d *document) values() (err error) {
	if d.Name, err = d.text(keyName, d.vals[keyName]); err != nil {
		return err
	}
	if d.Module, err = d.text(keyModule, d.vals[keyModule]); err != nil {
		return err
	}
	if err := d.patterns(d.vals[keyPatterns]); err != nil {
		return err
	}
	if d.Options, err = d.mapping(keyOptions); err != nil {
		return err
	}
	d.Packs, err = d.mapping(keyPacks)
	return err
}

// text returns the value of n, which must be text on one line.
func (d *document) text(what string, n *yaml.Node) (string, error) {
	switch {
	case n.Kind != yaml.ScalarNode:
		return "", d.errorf(n, "%s must be text, not a list (write `%s: value`)", what, what)
	case n.Tag == "!!null" || n.Value == "":
		return "", d.errorf(n, "%s has no value (give it one)", what)
	case n.Tag != "!!str":
		return "", d.errorf(n, "%s must be text, not %s (put it in quotes: %q)", what, strings.TrimPrefix(n.Tag, "!!"), n.Value)
	case n.Anchor != "" || n.Style&yaml.TaggedStyle != 0:
		return "", d.errorf(n, "%s has an anchor or a tag (write the plain value)", what)
	}
	if _, _, ok := d.token(n); !ok {
		return "", d.errorf(n, "%s must be on one line (join the lines)", what)
	}
	return n.Value, nil
}

// token is where the text of a scalar starts and ends in its line, in bytes.
func (d *document) token(n *yaml.Node) (start, end int, ok bool) {
	line := d.lines[n.Line-1]
	start = len(string([]rune(line)[:n.Column-1])) // columns count characters
	rest := line[start:]
	switch n.Style {
	case 0:
		return start, start + len(n.Value), strings.HasPrefix(rest, n.Value)
	case yaml.SingleQuotedStyle:
		end := strings.Index(strings.ReplaceAll(rest[1:], "''", "__"), "'")
		return start, start + end + 2, end >= 0
	case yaml.DoubleQuotedStyle:
		end := strings.Index(strings.NewReplacer(`\\`, "__", `\"`, "__").Replace(rest[1:]), `"`)
		return start, start + end + 2, end >= 0
	}
	return 0, 0, false
}

// empty reports whether nothing stands behind a key.
func empty(n *yaml.Node) bool { return n.Tag == "!!null" && n.Value == "" && n.Anchor == "" }

func (d *document) patterns(n *yaml.Node) error {
	d.Patterns = []string{}
	if empty(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return d.errorf(n, "patterns must be a list (one a line, as in `- sse`, and nothing if there are none)")
	}
	if err := d.block(keyPatterns, n, "- "+"sse"); err != nil {
		return err
	}
	for _, item := range n.Content {
		p, err := d.text("a pattern", item)
		if err != nil {
			return err
		}
		if slices.Contains(d.Patterns, p) {
			return d.errorf(item, "pattern %q stands twice (remove one)", p)
		}
		d.Patterns = append(d.Patterns, p)
	}
	slices.Sort(d.Patterns)
	return nil
}

func (d *document) mapping(key string) (map[string]string, error) {
	n := d.vals[key]
	m := map[string]string{}
	if n == nil || empty(n) {
		return m, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, d.errorf(n, "%s must be `key: value` lines (and nothing if there are none)", key)
	}
	if err := d.block(key, n, "key: value"); err != nil {
		return nil, err
	}
	for i := 0; i < len(n.Content); i += 2 {
		k, err := d.text("a key of "+key, n.Content[i])
		if err != nil {
			return nil, err
		}
		if _, ok := m[k]; ok {
			return nil, d.errorf(n.Content[i], "%q stands twice in %s (remove one)", k, key)
		}
		if m[k], err = d.text(k, n.Content[i+1]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// block reports an error if a list is not written one entry a line, below its
// key: that form is what git merges well, and what Update can edit in place.
func (d *document) block(key string, n *yaml.Node, example string) error {
	if n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		return d.errorf(n, "%s has an anchor or a tag (write the plain list)", key)
	}
	if n.Style&yaml.FlowStyle == 0 {
		return nil
	}
	rest := []rune(d.lines[n.Line-1])[n.Column-1:]
	if len(n.Content) > 0 || len(rest) < 2 || rest[1] != ']' && rest[1] != '}' {
		return d.errorf(n, "%s stands in brackets (write one entry a line, as in `%s`)", key, example)
	}
	return nil
}

// syntaxError puts the parser's line in front.
func syntaxError(file string, err error) error {
	what := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if rest, ok := strings.CutPrefix(what, "line "); ok {
		if n, err := fmt.Sscanf(rest, "%d:", &line); n == 1 && err == nil {
			_, what, _ = strings.Cut(rest, ": ")
		}
	}
	return fmt.Errorf("%s:%d: is not YAML: %s (mend the line, or take the file back from git)", file, line, what)
}

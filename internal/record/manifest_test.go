package record

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const example = `# What this service is made of. scaffold keeps it up to date; you may edit it
# too: run ` + "`scaffold apply`" + ` to make the service what it says.
name: orders
module: acme.com/orders

# The patterns that were asked for; what they require comes with them.
patterns:
  - dlq
  - workers

# What was chosen where a pattern has alternatives.
options:
  database: sqlite

# The templates that it was last written from.
packs:
  builtin: v0.1.0
`

var exampleManifest = Manifest{
	Name:     "orders",
	Module:   "acme.com/orders",
	Patterns: []string{"dlq", "workers"},
	Options:  map[string]string{"database": "sqlite"},
	Packs:    map[string]string{"builtin": "v0.1.0"},
}

func TestNewManifest(t *testing.T) {
	t.Parallel()
	m := exampleManifest
	m.Patterns = []string{"workers", "dlq", "dlq"}
	got, err := m.Update(nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example, string(got)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	back, err := Parse(ManifestFile, got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exampleManifest, back); diff != "" {
		t.Errorf("parsed (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown key", "options:", "option:", `scaffold.yaml:12: unknown key "option" (remove it`},
		{"duplicate key", "options:", "name:", `scaffold.yaml:12: key "name" stands here and in line 3 (remove one)`},
		{"missing name", "name: orders\n", "", `scaffold.yaml:3: key "name" is missing (add it`},
		{"missing module", "module: acme.com/orders\n", "", `key "module" is missing`},
		{"missing patterns", "patterns:\n  - dlq\n  - workers\n", "", `key "patterns" is missing`},
		{"missing packs", "packs:\n  builtin: v0.1.0\n", "", `key "packs" is missing`},
		{"empty name", "orders\n", "\n", `scaffold.yaml:3: name has no value`},
		{"null name", "orders\n", "~\n", `scaffold.yaml:3: name has no value`},
		{"name is a list", "name: orders", "name: [orders]", `scaffold.yaml:3: name must be text, not a list`},
		{"name is a number", "name: orders", "name: 12", `scaffold.yaml:3: name must be text, not int (put it in quotes: "12")`},
		{"option is a bool", "sqlite", "true", `scaffold.yaml:13: database must be text, not bool`},
		{"version is a number", "v0.1.0", "1.0", `scaffold.yaml:17: builtin must be text, not float`},
		{"patterns is text", "patterns:\n  - dlq\n  - workers\n", "patterns: dlq\n", `scaffold.yaml:7: patterns must be a list`},
		{"patterns in brackets", "patterns:\n  - dlq\n  - workers\n", "patterns: [dlq]\n", `scaffold.yaml:7: patterns stands in brackets (write one entry a line`},
		{"brackets over lines", "patterns:\n  - dlq\n  - workers\n", "patterns: [\n]\n", `scaffold.yaml:7: patterns stands in brackets`},
		{"pattern twice", "workers", "dlq", `scaffold.yaml:9: pattern "dlq" stands twice`},
		{"pattern is a list", "- workers", "- [workers]", `scaffold.yaml:9: a pattern must be text, not a list`},
		{"options is a list", "  database: sqlite", "  - database", `scaffold.yaml:13: options must be`},
		{"option twice", "  database: sqlite\n", "  database: sqlite\n  database: postgres\n", `scaffold.yaml:14: "database" stands twice in options`},
		{"anchor", "sqlite", "&a sqlite", `scaffold.yaml:13: database has an anchor or a tag`},
		{"alias", "name: orders", "name: *a", `scaffold.yaml:1: is not YAML: unknown anchor`},
		{"tag", "sqlite", "!!str sqlite", `scaffold.yaml:13: database has an anchor or a tag`},
		{"block text", "sqlite", "|\n    sqlite", `scaffold.yaml:13: database must be on one line`},
		{"two lines", "sqlite", "sqlite\n    more", `scaffold.yaml:13: database must be on one line`},
		{"not yaml", "patterns:", "patterns: {", `scaffold.yaml:7: is not YAML: `},
		{"tab", "  - dlq", "\t- dlq", `is not YAML: `},
		{"two documents", "packs:", "---\npacks:", `holds more than one document`},
		{"a list", example, "- a\n", `scaffold.yaml:1: is not a list of`},
		{"flow", example, "{name: a}\n", `scaffold.yaml:1: is not a list of`},
		{"empty", example, "", `scaffold.yaml:1: is empty`},
		{"lines that end in CR", example, strings.ReplaceAll(example, "\n", "\r"), `scaffold.yaml:1: U+000D ends a line in YAML and nowhere else`},
		{"CR before CRLF", "  - dlq\n", "  - dlq\r\r\n", `scaffold.yaml:8: U+000D ends a line`},
		{"NEL", "  - dlq\n", "  - dlq\u0085", `scaffold.yaml:8: U+0085 ends a line`},
		{"line separator", "# What was", "#\u2028What was", `scaffold.yaml:11: U+2028 ends a line`},
		{"paragraph separator", "sqlite\n", "sqlite\u2029", `scaffold.yaml:13: U+2029 ends a line`},
		{"UTF-16", example, "\xfe\xff\x00n\x00a", `scaffold.yaml:1: is not UTF-8`},
		{"comments only", example, "# nothing\n", `scaffold.yaml:1: is empty`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(example, tt.old, tt.new, 1)
			if text == example {
				t.Fatalf("%q is not in the example", tt.old)
			}
			_, err := Parse(ManifestFile, []byte(text))
			if err == nil {
				t.Fatalf("taken:\n%s", text)
			}
			if !strings.HasPrefix(err.Error(), "scaffold.yaml:") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of more than one line: %q", err)
			}
		})
	}
}

func TestUpdateKeepsTheOwnersText(t *testing.T) {
	t.Parallel()
	const prev = `# Our orders service. Ask Ada.
packs:
  builtin: "v0.1.0"   # pinned

patterns:   # what we use
    # jobs
    - workers  # for thumbnails

    - dlq

name: 'orders'
module: acme.com/orders
# the end`
	m := exampleManifest
	m.Module = "acme.com/new-orders"
	m.Patterns = []string{"dlq", "sse", "upload", "workers", "zebra"}
	m.Packs = map[string]string{"builtin": "v0.2.0", "acme": "v1.0.0"}
	const want = `# Our orders service. Ask Ada.
packs:
  acme: v1.0.0
  builtin: v0.2.0   # pinned

patterns:   # what we use
    - sse
    - upload
    # jobs
    - workers  # for thumbnails

    - dlq
    - zebra
options:
  database: sqlite

name: 'orders'
module: acme.com/new-orders
# the end`
	got, err := m.Update([]byte(prev))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	m.Patterns, m.Options, m.Packs = nil, nil, map[string]string{"builtin": "v0.2.0"}
	const none = `# Our orders service. Ask Ada.
packs:
  builtin: v0.2.0   # pinned

patterns:   # what we use
    # jobs
    # for thumbnails

options:

name: 'orders'
module: acme.com/new-orders
# the end`
	got, err = m.Update(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(none, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUpdateKeepsLineEnds(t *testing.T) {
	t.Parallel()
	crlf := strings.ReplaceAll(example, "\n", "\r\n")
	m := exampleManifest
	m.Patterns = []string{"dlq", "sse", "workers"}
	m.Options = map[string]string{"database": "postgres", "jobs": "river"}
	got, err := m.Update([]byte(crlf))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := m.Update([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.ReplaceAll(string(plain), "\n", "\r\n"); string(got) != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// From any manifest, however its owner commented it, to any other: the result
// says what it should, keeps each comment, and updating it again changes nothing.
func TestUpdateProperties(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(
		rapid.SampledFrom([]string{"a", "dlq", "true", "1.0", "null", "ä: b", "- x", "it's", `q"t`, "# no", "~", "v0.1.0", " x ", "a #b", "0x1f", "y"}),
		rapid.StringMatching(`[a-z]{1,3}`),
	)
	manifest := rapid.Custom(func(t *rapid.T) Manifest {
		return Manifest{
			Name:     text.Draw(t, "name"),
			Module:   text.Draw(t, "module"),
			Patterns: rapid.SliceOf(text).Draw(t, "patterns"),
			Options:  rapid.MapOf(text, text).Draw(t, "options"),
			Packs:    rapid.MapOf(text, text).Draw(t, "packs"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		from, to := manifest.Draw(t, "from"), manifest.Draw(t, "to")
		prev, err := from.Update(nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(string(prev), "\n")
		comments := 0
		for i := range lines {
			if rapid.Bool().Draw(t, "comment") {
				lines[i] = "  # mine\n\n" + lines[i]
				comments++
			}
			if line, ok := strings.CutSuffix(lines[i], "\n"); ok && rapid.Bool().Draw(t, "comment behind") {
				lines[i] = line + " # mine\n"
				comments++
			}
		}
		prev = []byte(strings.Join(lines, ""))
		next, err := to.Update(prev)
		if err != nil {
			t.Fatalf("%v\n%s", err, prev)
		}
		got, err := Parse(ManifestFile, next)
		if err != nil {
			t.Fatalf("%v\n%s", err, next)
		}
		fresh, err := to.Update(nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Parse(ManifestFile, fresh)
		if err != nil {
			t.Fatal(err)
		}
		if !got.equal(want) {
			t.Fatalf("%s", cmp.Diff(want, got))
		}
		if n := strings.Count(string(next), "# mine\n"); n != comments {
			t.Fatalf("%d comments, want %d:\n%s\n%s", n, comments, prev, next)
		}
		again, err := to.Update(next)
		if err != nil || string(again) != string(next) {
			t.Fatalf("a second update: %v\n%s\n%s", err, next, again)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("name: \"a\\\nb\"\n"))
	f.Add([]byte(strings.ReplaceAll(example, "\n", "\r")))
	f.Add([]byte(strings.ReplaceAll(example, "\n", "\r\n")))
	f.Add([]byte("\xfe\xff\x00#\x0a\x0a\x00\n\x00n\x00a\x00m\x00e\x00:\x00 \x00o\x00\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(ManifestFile, data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "scaffold.yaml:") {
				t.Fatalf("error without a place: %q", err)
			}
			return
		}
		same, err := m.Update(data)
		if err != nil || string(same) != string(data) {
			t.Fatalf("an update to the same: %v, %q", err, same)
		}
		// A change is made whole or refused.
		m.Name, m.Patterns = m.Name+"x", append(m.Patterns, "zebra", "ant")
		m.Options = map[string]string{"engine": "dbos"}
		if next, err := m.Update(data); err == nil {
			if got, err := Parse(ManifestFile, next); err != nil || got.Name != m.Name {
				t.Fatalf("an update: %v\n%s", err, next)
			}
		}
	})
}

package render

import (
	"bytes"
	"maps"
	"path"
	"slices"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
)

// A view is what a template sees of the selection.
type view struct {
	// Name and Module are the service's own.
	Name, Module string
	// Go is the version on go.mod's go line. Templates of Go files come before
	// go.mod, and can't see it.
	Go string
	// Patterns are those selected, in the catalog's order.
	Patterns []*catalog.Pattern
	// Parts are what the service sets up, in order: the patterns that have a
	// wiring file, and the joins of patterns.
	Parts []Part
	// Fields are what the parts hand to each other, and Imports the packages
	// that their types come from, below the module.
	Fields  []Field
	Imports []string
	// Engines are the servers that the selected patterns can run on.
	Engines []catalog.Engine
	// Library is the name of the package that the wiring is, and "" where it is
	// a command.
	Library string
	// Routes are those of the selected patterns.
	Routes []Route

	options map[string]string
	root    *template.Template // has the functions
}

// A Field is one field of the App struct.
type Field struct{ Name, Ident, Type string }

// A Part is one wiring file: its name, and its setup method.
type Part struct{ Name, Setup string }

func newView(c *catalog.Catalog, s catalog.Selection) *view {
	v := &view{
		Name: s.Name, Module: s.Module, Parts: parts(c, s), Routes: Routes(c, s), options: s.Options,
		root: template.New("").Option("missingkey=error").Funcs(functions()),
	}
	for _, name := range s.Patterns {
		p, _ := c.Pattern(name)
		here := *p
		here.Routes = p.RoutesIn(s)
		v.Patterns = append(v.Patterns, &here)
		if p.Field != "" {
			v.Fields = append(v.Fields, Field{Name: p.Name, Ident: p.GoName(), Type: p.Field})
			v.Imports = append(v.Imports, "internal/"+p.Name)
		}
		for _, e := range p.Engines {
			option, value, _ := strings.Cut(e.Option, "=")
			if e.Option == "" || s.Options[option] == value {
				v.Engines = append(v.Engines, e)
			}
		}
	}
	slices.Sort(v.Imports)
	return v
}

// Has reports whether the pattern is selected.
func (v *view) Has(name string) bool {
	return slices.ContainsFunc(v.Patterns, func(p *catalog.Pattern) bool { return p.Name == name })
}

// Option returns the option's value, or "" where no selected pattern has it.
func (v *view) Option(name string) string { return v.options[name] }

// parts finds the wiring files: those of the command whose name is nothing but
// names of patterns. A pattern's comes in the catalog's order, that of a join
// after the last pattern that it joins.
func parts(c *catalog.Catalog, s catalog.Selection) []Part {
	after := make(map[string][]Part)
	for _, f := range c.Files {
		dir, base := path.Split(f.Path)
		stem, isGo := strings.CutSuffix(base, ".go")
		if dir != "cmd/service/" || !isGo || !selected(f, s) {
			continue
		}
		part := Part{Name: stem, Setup: "setup"}
		last := ""
		for word := range strings.SplitSeq(stem, "_") {
			p, ok := c.Pattern(word)
			if !ok {
				last = ""
				break
			}
			part.Setup += p.GoName()
			if last == "" || slices.Index(s.Patterns, word) > slices.Index(s.Patterns, last) {
				last = word
			}
		}
		if last != "" {
			after[last] = append(after[last], part)
		}
	}
	var parts []Part
	for _, name := range s.Patterns {
		at := after[name]
		slices.SortFunc(at, func(a, b Part) int {
			joined := strings.Count(a.Name, "_") - strings.Count(b.Name, "_")
			if joined != 0 {
				return joined
			}
			return strings.Compare(a.Name, b.Name)
		})
		parts = append(parts, at...)
	}
	return parts
}

// execute runs a template.
func (v *view) execute(f catalog.File) ([]byte, error) {
	t, err := v.root.New(f.Path).Parse(string(f.Data))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, v); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// text runs the template of a file that is left out when nothing is in it.
func (v *view) text(f catalog.File) ([]byte, error) {
	data, err := v.execute(f)
	if err != nil || len(bytes.TrimSpace(data)) == 0 {
		return nil, err
	}
	return data, nil
}

// functions are sprig's, without those that read the environment, the clock,
// the network or randomness: the same selection always renders to the same
// bytes.
func functions() template.FuncMap {
	all := sprig.HermeticTxtFuncMap()
	maps.DeleteFunc(all, func(name string, _ any) bool { return slices.Contains(impure, name) })
	return all
}

// impure are functions that sprig counts as hermetic and that are not.
var impure = []string{
	"ago", "bcrypt", "buildCustomCert", "date", "dateInZone", "dateModify", "date_in_zone", "date_modify",
	"decryptAES", "derivePassword", "duration", "durationRound", "encryptAES", "env", "expandenv",
	"genCA", "genCAWithKey", "genPrivateKey", "genSelfSignedCert", "genSelfSignedCertWithKey",
	"genSignedCert", "genSignedCertWithKey", "getHostByName", "htmlDate", "htmlDateInZone", "htpasswd",
	"mustDateModify", "mustToDate", "must_date_modify", "now", "randAlpha", "randAlphaNum", "randAscii",
	"randBytes", "randInt", "randNumeric", "shuffle", "toDate", "unixEpoch", "uuidv4",
}

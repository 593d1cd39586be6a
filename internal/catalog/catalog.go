// Package catalog owns the patterns, their options and the files that belong to
// them, as data: it loads and validates them, and resolves what a user asks for
// to a selection that holds together.
//
// It does no I/O beyond the file system that it is handed, and knows nothing of
// how files are rendered.
package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// A Catalog is everything that can be selected. It does not change once loaded,
// and is safe for concurrent use.
type Catalog struct {
	// Families are in the order in which they are shown.
	Families []Family
	// Patterns are in the order in which they are shown and set up: each comes
	// after those that it requires.
	Patterns []*Pattern
	// Options are in the order in which they are asked.
	Options []*Option
	// Files are the templates, in the order of their paths.
	Files []File

	byName map[string]*Pattern
}

// A Family groups patterns that solve problems of one kind.
type Family struct {
	Name     string   `yaml:"name" json:"name"`
	Title    string   `yaml:"title" json:"title"`
	Summary  string   `yaml:"summary" json:"summary"`
	Patterns []string `yaml:"patterns" json:"patterns"`
}

// Foundation is the family of what other patterns stand on. Its patterns come
// when one requires them; a user is not asked for them, but may add them.
const Foundation = "foundation"

// A Pattern is one thing that a service can have. Its file names say which
// files belong to it; the rest stands in its manifest.
type Pattern struct {
	// Name is the one word that names the pattern everywhere.
	Name   string `yaml:"name" json:"name"`
	Title  string `yaml:"title" json:"title"`
	Family string `yaml:"family" json:"family"`
	// Summary says in one line what it is.
	Summary  string   `yaml:"summary" json:"summary"`
	Guidance Guidance `yaml:"guidance" json:"guidance"`
	// Requires are the patterns without which it can't be.
	Requires []string `yaml:"requires" json:"requires"`
	// Conflicts are the patterns with which it can't be.
	Conflicts []string `yaml:"conflicts" json:"conflicts"`
	// Suggests are patterns that often go with it.
	Suggests []string `yaml:"suggests" json:"suggests"`
	// Ident is the name as a Go identifier has it, where that is not just the
	// name with a capital: SSE, DLQ.
	Ident string `yaml:"ident" json:"-"`
	// Field is the Go type of its field in the App struct, if it has one.
	Field string `yaml:"field" json:"-"`
	// TestEnv says that its wiring's tests have a function that gives a service
	// under test state of its own.
	TestEnv bool     `yaml:"testenv" json:"-"`
	Engines []Engine `yaml:"engines" json:"engines"`
	Routes  []string `yaml:"routes" json:"routes"`
	Metrics []string `yaml:"metrics" json:"metrics"`
	// Joins are what it has more beside patterns that catalog.yaml lists before it.
	Joins []Join `yaml:"joins" json:"-"`
}

// A Join is what is there with other patterns only.
type Join struct {
	With   []string `yaml:"with"`
	Routes []string `yaml:"routes"`
}

// RoutesIn returns the routes that the pattern has in a selection.
func (p *Pattern) RoutesIn(s Selection) []string {
	routes := slices.Clone(p.Routes)
	for _, j := range p.Joins {
		if !slices.ContainsFunc(j.With, func(name string) bool { return !s.Has(name) }) {
			routes = append(routes, j.Routes...)
		}
	}
	return routes
}

// Guidance is the rule when to choose a pattern.
type Guidance struct {
	Use   string `yaml:"use" json:"use"`
	Avoid string `yaml:"avoid" json:"avoid"`
	Start string `yaml:"start" json:"start"`
	Next  string `yaml:"next" json:"next"`
}

// An Engine is a server that a pattern can run on.
type Engine struct {
	Name    string `yaml:"name" json:"name"`
	Summary string `yaml:"summary" json:"summary"`
	// Variable is the environment variable that leads the service to it.
	Variable string `yaml:"variable" json:"variable"`
	// Value is what the variable is set to beside the compose file's service.
	Value string `yaml:"value" json:"-"`
	// Environment is what else has to be set beside Value.
	Environment map[string]string `yaml:"environment" json:"-"`
	// Option, as name=value, says that the engine is there with this value only.
	Option string `yaml:"option" json:"option,omitempty"`
	// Compose is the engine's entry under services: in compose.yaml.
	Compose string `yaml:"compose" json:"-"`
	// Volumes are the named volumes that the entry uses.
	Volumes []string `yaml:"volumes" json:"-"`
	// TestVariable leads the service's tests to it.
	TestVariable string `yaml:"test_variable" json:"-"`
	// TestValue is its value beside the compose file's service.
	TestValue string `yaml:"test_value" json:"-"`
}

// An Option is a choice between exclusive alternatives.
type Option struct {
	Name  string `yaml:"name" json:"name"`
	Title string `yaml:"title" json:"title"`
	// Pattern is the pattern that has the option.
	Pattern string  `yaml:"pattern" json:"pattern"`
	Default string  `yaml:"default" json:"default"`
	Values  []Value `yaml:"values" json:"values"`
	// Set says what it takes to go over to another value.
	Set Change `yaml:"set" json:"set"`
}

// A Change is what it takes to go over to another value of an option in a service
// that has run, a sentence each.
type Change struct {
	ByHand   []string `yaml:"by_hand" json:"by_hand"`     // what its owner has to do
	ByItself []string `yaml:"by_itself" json:"by_itself"` // what they need not do
}

// A Value is one of an option's alternatives.
type Value struct {
	Name    string `yaml:"name" json:"name"`
	Summary string `yaml:"summary" json:"summary"`
}

// A File is one template.
type File struct {
	// Path is the file's path in the template service.
	Path string
	// Patterns are those that must all be selected for the file to be there; a
	// file of the base service has none.
	Patterns []string
	// Option and Value restrict a file that is no Go file to one alternative.
	// A Go file says it by its build constraint.
	Option, Value string
	tree.File
}

// Pattern returns the pattern of that name.
func (c *Catalog) Pattern(name string) (*Pattern, bool) {
	p, ok := c.byName[name]
	return p, ok
}

// Option returns the option of that name.
func (c *Catalog) Option(name string) (*Option, bool) {
	for _, o := range c.Options {
		if o.Name == name {
			return o, true
		}
	}
	return nil, false
}

// FamilyOf returns the family that the pattern belongs to.
func (c *Catalog) FamilyOf(p *Pattern) Family {
	i := slices.IndexFunc(c.Families, func(f Family) bool { return f.Name == p.Family })
	return c.Families[i]
}

// GoName returns the pattern's name as it stands in Go identifiers.
func (p *Pattern) GoName() string {
	if p.Ident != "" {
		return p.Ident
	}
	return strings.ToUpper(p.Name[:1]) + p.Name[1:]
}

// ValueNames returns the names of the option's alternatives.
func (o *Option) ValueNames() []string {
	names := make([]string, len(o.Values))
	for i, v := range o.Values {
		names[i] = v.Name
	}
	return names
}

// An UnknownError says that nothing in the catalog has the name.
type UnknownError struct {
	// Kind is "pattern", "option" or "value of database".
	Kind, Name string
	// Nearest are the names that were perhaps meant, the likeliest first.
	Nearest []string
	// See is the command that lists what there is.
	See string
}

// Error implements error.
func (e *UnknownError) Error() string {
	name := e.Name
	if name == "" {
		name = `""`
	}
	msg := fmt.Sprintf("%s: no such %s", name, e.Kind)
	if len(e.Nearest) > 0 {
		msg += "; did you mean " + strings.Join(e.Nearest, " or ") + "?"
	}
	return msg + " (" + e.See + ")"
}

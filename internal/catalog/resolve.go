package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Selection is what a service is made of.
type Selection struct {
	// Name is the service's name: the base of its command's path.
	Name string
	// Module is the path of its Go module.
	Module string
	// Patterns are in the catalog's order, with all that they require.
	Patterns []string
	// Options holds a value for each option that the patterns have.
	Options map[string]string
}

// Has reports whether the pattern is selected.
func (s Selection) Has(pattern string) bool {
	return slices.Contains(s.Patterns, pattern)
}

// An Added pattern was not asked for: another one requires it.
type Added struct {
	Pattern string `json:"pattern"`
	By      string `json:"by"`
}

// Resolve makes patterns and options into a selection that holds together: it
// adds what is required, says so, refuses what conflicts, and fills in the
// options' defaults. An option that no selected pattern has is refused.
func (c *Catalog) Resolve(patterns []string, options map[string]string) (Selection, []Added, error) {
	chosen := make(map[string]bool)
	var added []Added
	var add func(name, by string)
	add = func(name, by string) {
		if chosen[name] {
			return
		}
		chosen[name] = true
		if by != "" && !slices.Contains(patterns, name) {
			added = append(added, Added{Pattern: name, By: by})
		}
		for _, r := range c.byName[name].Requires {
			add(r, name)
		}
	}
	for _, name := range patterns {
		if _, ok := c.byName[name]; !ok {
			return Selection{}, nil, c.unknownPattern(name)
		}
		add(name, "")
	}
	var s Selection
	for _, p := range c.Patterns {
		if !chosen[p.Name] {
			continue
		}
		s.Patterns = append(s.Patterns, p.Name)
		for _, other := range p.Conflicts {
			if chosen[other] {
				return Selection{}, nil, fmt.Errorf("%s and %s can't be in one service: choose one of them", p.Name, other)
			}
		}
	}
	var err error
	s.Options, err = c.resolveOptions(s, options)
	return s, added, err
}

func (c *Catalog) resolveOptions(s Selection, options map[string]string) (map[string]string, error) {
	resolved := make(map[string]string)
	for _, o := range c.Options {
		if s.Has(o.Pattern) {
			resolved[o.Name] = o.Default
		}
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		value := options[name]
		o, ok := c.Option(name)
		if !ok {
			var names []string
			for _, o := range c.Options {
				names = append(names, o.Name)
			}
			return nil, &UnknownError{Kind: "option", Name: name, Nearest: Nearest(name, names), See: "there are: " + strings.Join(names, ", ")}
		}
		if !slices.Contains(o.ValueNames(), value) {
			values := strings.Join(o.ValueNames(), ", ")
			return nil, &UnknownError{Kind: "value of " + name, Name: value, Nearest: Nearest(value, o.ValueNames()), See: "there are: " + values}
		}
		if !s.Has(o.Pattern) {
			return nil, fmt.Errorf("%s=%s: no selected pattern uses the option %s: leave it out, or add %s", name, value, name, o.Pattern)
		}
		resolved[name] = value
	}
	return resolved, nil
}

// Find returns the pattern of that name, or an [UnknownError] with the nearest.
func (c *Catalog) Find(name string) (*Pattern, error) {
	if p, ok := c.byName[name]; ok {
		return p, nil
	}
	return nil, c.unknownPattern(name)
}

func (c *Catalog) unknownPattern(name string) error {
	var names []string
	for _, p := range c.Patterns {
		names = append(names, p.Name)
	}
	return &UnknownError{Kind: "pattern", Name: name, Nearest: Nearest(name, names), See: "see `scaffold list`"}
}

// Nearest returns up to three of names that were perhaps meant by name, the
// likeliest first: those that it abbreviates or that are a few slips away.
func Nearest(name string, names []string) []string {
	name = strings.ToLower(name)
	slips := max(1, len(name)/3)
	distances := make(map[string]int)
	var near []string
	for _, n := range names {
		d := distance(name, n)
		if len(name) > 1 && strings.HasPrefix(n, name) {
			d = 0
		}
		if d <= slips {
			distances[n] = d
			near = append(near, n)
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return distances[a] - distances[b] })
	return near[:min(3, len(near))]
}

// distance is the number of insertions, deletions, substitutions and swaps of
// neighbours that lead from a to b (the optimal string alignment distance;
// Boytsov 2011, section 2.2).
func distance(a, b string) int {
	before, prev := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}

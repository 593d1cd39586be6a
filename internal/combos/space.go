package combos

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
)

// whole is the number of patterns up to which every subset is proved.
const whole = 8

// The service that is made of each selection.
const (
	serviceName   = "orders"
	serviceModule = "example.com/orders"
)

// A space is all selections that a user can make of a catalog.
type space struct {
	catalog *catalog.Catalog
}

// selections returns those that are proved, each once: every pattern alone and
// every pair, with every value of the options they have, and rows that cover
// every possible choice for three of the patterns and options. Of a small
// catalog it is every selection there is.
func (s space) selections() ([]catalog.Selection, error) {
	names := make([]string, len(s.catalog.Patterns))
	for i, p := range s.catalog.Patterns {
		names[i] = p.Name
	}
	asked := [][]string{nil, names}
	if len(names) <= whole {
		for bits := range 1 << len(names) {
			asked = append(asked, pick(names, func(i int) bool { return bits>>i&1 == 1 }))
		}
	}
	for i, a := range names {
		asked = append(asked, []string{a})
		for _, b := range names[:i] {
			asked = append(asked, []string{a, b})
		}
	}
	seen := make(map[string]bool)
	var all []catalog.Selection
	add := func(names []string, options map[string]string) error {
		selection, _, err := s.catalog.Resolve(names, options)
		if err != nil {
			return err
		}
		selection.Name, selection.Module = serviceName, serviceModule
		if id := describe(selection); !seen[id] {
			seen[id] = true
			all = append(all, selection)
		}
		return nil
	}
	for _, names := range asked {
		base, _, err := s.catalog.Resolve(names, nil)
		if err != nil {
			continue // they conflict, which is refused
		}
		for _, options := range s.combinations(base) {
			if err := add(names, options); err != nil {
				return nil, err
			}
		}
	}
	for _, row := range s.cover(3) {
		if err := add(row.patterns, row.options); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// random returns up to n other selections: of each size as many, since most of all
// subsets are about half of the catalog. The same seed draws the same.
func (s space) random(n int, seed uint64) ([]catalog.Selection, error) {
	random := rand.New(rand.NewPCG(seed, 0)) // #nosec G404 -- what is drawn can be drawn again
	names := make([]string, len(s.catalog.Patterns))
	for i, p := range s.catalog.Patterns {
		names[i] = p.Name
	}
	var all []catalog.Selection
	for range n {
		size := 1 + random.IntN(len(names))
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		base, _, err := s.catalog.Resolve(names[:size], nil)
		if err != nil {
			continue // they conflict, which is refused
		}
		choices := s.combinations(base)
		selection, _, err := s.catalog.Resolve(names[:size], choices[random.IntN(len(choices))])
		if err != nil {
			return nil, err
		}
		selection.Name, selection.Module = serviceName, serviceModule
		all = append(all, selection)
	}
	return all, nil
}

func pick(names []string, ok func(int) bool) []string {
	var picked []string
	for i, name := range names {
		if ok(i) {
			picked = append(picked, name)
		}
	}
	return picked
}

// combinations returns every choice of values for the options that selection has.
func (s space) combinations(selection catalog.Selection) []map[string]string {
	all := []map[string]string{{}}
	for _, o := range s.catalog.Options {
		if _, ok := selection.Options[o.Name]; !ok {
			continue
		}
		var more []map[string]string
		for _, chosen := range all {
			for _, value := range o.ValueNames() {
				with := maps.Clone(chosen)
				with[o.Name] = value
				more = append(more, with)
			}
		}
		all = more
	}
	return all
}

// A row is a choice for every pattern and option.
type row struct {
	patterns []string
	options  map[string]string
}

// A level is one choice for one pattern or option: on or off, or a value.
type level struct {
	factor int // patterns first, then options
	value  int // of a pattern: 0 off, 1 on
}

// cover returns rows such that every choice for any t of the patterns and options
// that can be made is made in one of them: a covering array of strength t, by the
// greedy algorithm of Cohen, Dalal, Fredman and Patton, "The AETG System" (IEEE
// Transactions on Software Engineering 23:7, 1997). It is the same at each run.
func (s space) cover(t int) []row {
	todo := make(map[string][]level)
	s.tuples(t, func(tuple []level) {
		if _, ok := s.row(tuple); ok {
			todo[key(tuple)] = slices.Clone(tuple)
		}
	})
	order := slices.Sorted(maps.Keys(todo))
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- the same rows at each run
	var rows []row
	for _, k := range order {
		start, ok := todo[k]
		if !ok {
			continue
		}
		var best []level
		most := -1
		const candidates = 30
		for range candidates {
			levels := s.grow(start, random)
			n := 0
			s.covered(levels, t, func(k string) {
				if _, ok := todo[k]; ok {
					n++
				}
			})
			if n > most {
				best, most = levels, n
			}
		}
		s.covered(best, t, func(k string) { delete(todo, k) })
		r, _ := s.row(best)
		rows = append(rows, r)
	}
	return rows
}

func (s space) factors() int { return len(s.catalog.Patterns) + len(s.catalog.Options) }

func (s space) levels(factor int) int {
	if n := len(s.catalog.Patterns); factor >= n {
		return len(s.catalog.Options[factor-n].Values)
	}
	return 2
}

// tuples calls do with every choice for every t factors.
func (s space) tuples(t int, do func([]level)) {
	var choose func(from int, tuple []level)
	choose = func(from int, tuple []level) {
		if len(tuple) == t {
			do(tuple)
			return
		}
		for f := from; f < s.factors(); f++ {
			for v := range s.levels(f) {
				choose(f+1, append(tuple, level{f, v}))
			}
		}
	}
	choose(0, nil)
}

// row returns the smallest selection in which the levels hold, if there is one.
func (s space) row(levels []level) (row, bool) {
	r := row{options: make(map[string]string)}
	off := make(map[string]bool)
	n := len(s.catalog.Patterns)
	for _, l := range levels {
		switch {
		case l.factor >= n:
			o := s.catalog.Options[l.factor-n]
			r.options[o.Name] = o.Values[l.value].Name
			r.patterns = append(r.patterns, o.Pattern)
		case l.value == 1:
			r.patterns = append(r.patterns, s.catalog.Patterns[l.factor].Name)
		default:
			off[s.catalog.Patterns[l.factor].Name] = true
		}
	}
	selection, _, err := s.catalog.Resolve(r.patterns, r.options)
	if err != nil || slices.ContainsFunc(selection.Patterns, func(p string) bool { return off[p] }) {
		return row{}, false
	}
	r.patterns = selection.Patterns
	return r, true
}

// grow adds a level of each other factor, in random order, that can still hold.
func (s space) grow(start []level, random *rand.Rand) []level {
	levels := slices.Clone(start)
	for _, f := range random.Perm(s.factors()) {
		if slices.ContainsFunc(levels, func(l level) bool { return l.factor == f }) {
			continue
		}
		for _, v := range random.Perm(s.levels(f)) {
			if _, ok := s.row(append(levels, level{f, v})); ok {
				levels = append(levels, level{f, v})
				break
			}
		}
	}
	return levels
}

// covered calls do with the key of every t of the levels.
func (s space) covered(levels []level, t int, do func(string)) {
	levels = slices.SortedFunc(slices.Values(levels), func(a, b level) int { return a.factor - b.factor })
	var choose func(from int, tuple []level)
	choose = func(from int, tuple []level) {
		if len(tuple) == t {
			do(key(tuple))
			return
		}
		for i := from; i < len(levels); i++ {
			choose(i+1, append(tuple, levels[i]))
		}
	}
	choose(0, nil)
}

func key(tuple []level) string {
	var b strings.Builder
	for _, l := range tuple {
		fmt.Fprintf(&b, "%d=%d ", l.factor, l.value)
	}
	return b.String()
}

// describe names the selection as the flags of scaffold new do.
func describe(s catalog.Selection) string {
	with := "none"
	if len(s.Patterns) > 0 {
		with = strings.Join(s.Patterns, ",")
	}
	d := "--with " + with
	for _, name := range slices.Sorted(maps.Keys(s.Options)) {
		d += " --set " + name + "=" + s.Options[name]
	}
	return d
}

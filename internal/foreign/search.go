package foreign

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// A search is for the place in a function at which a router is wired.
type search struct {
	fset     *token.FileSet
	file     *ast.File
	pkg      known
	name, fn string   // of the file and of the function, as they were given
	variable string   // the router that was named, if one was
	node     ast.Node // of the function
}

func (s *search) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %s "+format, append([]any{s.name, s.fn}, args...)...)
}

func (s *search) line(at token.Pos) int { return s.fset.Position(at).Line }

// yourself is said where a router has no place for the lines.
const yourself = "there is no one place for the lines; paste them yourself"

func (s *search) locate() (*target, error) {
	var names []string
	for _, decl := range s.file.Decls {
		for _, f := range functions(decl) {
			names = append(names, f.name)
			if f.name != strings.TrimPrefix(strings.NewReplacer("(*", "", ")", "").Replace(s.fn), "*") {
				continue
			}
			t, err := s.target(f)
			if err != nil {
				return nil, err
			}
			if at := t.lateMiddleware(); at.IsValid() {
				return nil, s.errorf("puts middleware on %s in line %d, behind a line that serves or returns it: %s", t.name, s.line(at), yourself)
			}
			if t.router == Gorilla && t.catcher != "" && t.catcher != f.name {
				return nil, s.errorf("has %s, which leads all requests somewhere in %s: name that function instead", t.name, t.catcher)
			}
			if t.router == Gorilla && t.builder != nil && t.builder.catches {
				return nil, s.errorf("has %s of %s, which leads all requests somewhere: name that function instead", t.name, t.builder.name)
			}
			d, _ := f.node.(*ast.FuncDecl)
			t.file, t.main = s.file, f.name == "main" && d != nil && d.Body == t.body
			t.site = Site{File: s.name, Line: s.line(f.node.Pos()), Func: f.name, Var: t.name}
			if t.stmt != nil {
				t.site.Line = s.line(t.stmt.Pos())
			}
			return t, nil
		}
	}
	return nil, fmt.Errorf("%s: has no function %s (it has %s)", s.name, s.fn, strings.Join(names, ", "))
}

// target takes the router that was named, or the one that is served: of those that the
// function makes, is handed, has another function build or finds in the package.
func (s *search) target(f function) (*target, error) {
	s.node = f.node
	made := creations(s.file, f, s.pkg)
	places := s.places(made, f.node)
	d, ok := f.node.(*ast.FuncDecl)
	if !ok && len(places) == 0 {
		return nil, s.refusal("makes no router")
	}
	var given, global []creation
	if ok {
		given, global = handed(s.file, d, s.pkg), s.global(d, made, len(places) > 0)
	}
	if !s.prefers(places, slices.Concat(given, global)) {
		return s.chooseHanded(given, global)
	}
	t, err := s.choose(places)
	if err != nil {
		return nil, err
	}
	if at := t.elsewhere(made); at.IsValid() {
		return nil, s.errorf("makes %s in line %d, and makes, serves or returns it in line %d on a way that does not pass there: %s",
			t.name, s.line(t.stmt.Pos()), s.line(at), yourself)
	}
	return t, nil
}

// prefers reports whether the router is to be one of those that have a place in the
// function, and not one that it is handed.
func (s *search) prefers(places []*target, given []creation) bool {
	if len(places) == 0 {
		return false
	}
	if s.variable != "" {
		named := func(c creation) bool { return c.name == s.variable }
		return slices.ContainsFunc(places, func(t *target) bool { return named(t.creation) }) || !slices.ContainsFunc(given, named)
	}
	return slices.ContainsFunc(places, func(t *target) bool { return t.served || t.direct() }) ||
		!slices.ContainsFunc(given, func(c creation) bool { return c.spokenOf() })
}

// places returns where routers are wired that are made, the library that does most for
// its user first.
func (s *search) places(made []creation, node ast.Node) (places []*target) {
	for _, c := range made {
		t := newTarget(c)
		t.missed = t.lift(node)
		t.served = slices.ContainsFunc(t.in[t.at+1:], t.hands)
		t.settle()
		if !slices.ContainsFunc(places, t.same) { // else one that several branches make
			places = append(places, t)
		}
	}
	slices.SortStableFunc(places, func(a, b *target) int { return int(b.router - a.router) })
	return places
}

func (s *search) choose(places []*target) (*target, error) {
	if s.variable != "" {
		i := slices.IndexFunc(places, func(t *target) bool { return t.name == s.variable })
		if i < 0 {
			return nil, s.refusal("makes no router %s", s.variable)
		}
		return places[i], nil
	}
	isServed := func(t *target) bool { return t.served }
	if served := filter(places, isServed); len(served) == 1 && !served[0].direct() {
		return served[0], nil
	}
	if direct := filter(places, func(t *target) bool { return t.direct() }); len(direct) > 0 {
		places = direct
	}
	places = filter(places, func(t *target) bool { return t.router == places[0].router })
	if len(places) == 1 {
		return places[0], nil
	}
	if served := filter(places, isServed); len(served) == 1 {
		return served[0], nil
	}
	var left []creation
	for _, t := range places {
		left = append(left, t.creation)
	}
	return nil, s.which("makes", left)
}

// which says that one of several routers has to be named.
func (s *search) which(does string, routers []creation) error {
	var names []string
	for _, c := range routers {
		if !slices.Contains(names, c.name) {
			names = append(names, c.name)
		}
	}
	return s.errorf("%s %d routers: say which, as in %s:%s:%s (it has %s)", does, len(routers), s.name, s.fn, names[0], strings.Join(names, ", "))
}

func filter(places []*target, keep func(*target) bool) (kept []*target) {
	for _, t := range places {
		if keep(t) {
			kept = append(kept, t)
		}
	}
	return kept
}

func newTarget(c creation) *target {
	t := &target{creation: c}
	if c.holder != "" {
		t.also = []string{c.holder}
	}
	return t
}

// same reports whether both are one place for one router.
func (t *target) same(o *target) bool {
	return t.name == o.name && t.router == o.router && t.in[0] == o.in[0] && t.at == o.at
}

// elsewhere returns where the router is served, returned or made without passing the
// place, if it is.
func (t *target) elsewhere(made []creation) token.Pos {
	root, _, _ := strings.Cut(t.name, ".")
	for _, c := range made {
		anew := c.name == t.name && c.stmt.Pos() > t.stmt.Pos() && !declares(c.stmt, root)
		if anew && (c.stmt.Pos() > t.in[t.at].End() || c.router != t.router) {
			return c.stmt.Pos()
		}
	}
	return t.missed
}

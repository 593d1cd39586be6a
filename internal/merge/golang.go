package merge

import (
	"bytes"
	"fmt"
	"go/format"
	"go/parser"
	"go/scanner"
	"go/token"
	"slices"
)

// mergeGo merges by lines, and where that does not give a sound file, again
// with the lists in it (imports, the fields of a struct, the elements of a
// literal) merged as lists beforehand.
//
// If the sides parse, so does a clean result, and it declares nothing twice. If they
// are gofmt-clean, so is the result. A base that does not parse has no lists.
func mergeGo(base, ours, theirs []byte, labels Labels) Result {
	lines := newMerge3(base, ours, theirs)
	byLines := lines.render(labels)
	if byLines.Clean() {
		if f := parseGo(byLines.Data); f != nil && len(f.repeated()) == 0 && gofmtClean(byLines.Data) {
			return byLines // by far the most frequent case, found without a look at the inputs
		}
	}
	all := versions{parseGo(base), parseGo(ours), parseGo(theirs)}
	if all[1] == nil || all[2] == nil {
		return byLines // nothing to hold the result against
	}
	if all[0] != nil {
		all[0].base = true
	}
	var broken *Conflict
	if byLines.Clean() {
		var data []byte
		if data, broken = all.accept(byLines.Data); broken == nil {
			return Result{Data: data}
		}
	}
	byLists, ok := all.mergeLists(labels)
	if ok && byLists.Clean() {
		data, stillBroken := all.accept(byLists.Data)
		if stillBroken == nil {
			return Result{Data: data}
		}
		if broken == nil {
			broken = stillBroken
		}
	}
	switch {
	case broken != nil:
		return lines.renderAll(labels, broken.Reason, broken.Why)
	case ok:
		return byLists
	default:
		return byLines
	}
}

type versions [3]*goFile // base, ours, theirs

// accept returns the merged file as it may stand, gofmt-clean if both sides
// were, or what is wrong with it.
func (v versions) accept(data []byte) ([]byte, *Conflict) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", data, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, &Conflict{Reason: Syntax, Why: "merged line by line it does not parse: " + parseError(err)}
	}
	merged := &goFile{src: data, fset: fset, ast: file}
	before := slices.Concat(v[1].repeated(), v[2].repeated())
	for _, name := range merged.repeated() {
		if !slices.Contains(before, name) {
			return nil, &Conflict{Reason: Duplicate, Why: "merged line by line it has " + name + " twice"}
		}
	}
	if gofmtClean(data) || !gofmtClean(v[1].src) || !gofmtClean(v[2].src) {
		return data, nil
	}
	for range 3 { // formatting a doc comment anew may take more than one pass
		formatted, err := format.Source(data)
		if err == nil && bytes.Equal(formatted, data) {
			return data, nil
		}
		data = formatted
	}
	return nil, &Conflict{Reason: Format, Why: "merged line by line gofmt does not settle on a form of it"}
}

func parseError(err error) string {
	if list, ok := err.(scanner.ErrorList); ok && len(list) > 0 { //nolint:errorlint // the parser documents this type
		return fmt.Sprintf("line %d: %s", list[0].Pos.Line, list[0].Msg)
	}
	return err.Error()
}

func gofmtClean(src []byte) bool {
	formatted, err := format.Source(src)
	return err == nil && bytes.Equal(formatted, src)
}

// mergeLists merges the lists that all versions have, puts the outcome into all
// three, and merges what is around them by lines. It reports whether there was
// such a list; the sides must be gofmt-clean, because their lines are moved.
func (v versions) mergeLists(labels Labels) (Result, bool) {
	if v[0] == nil || !gofmtClean(v[1].src) || !gofmtClean(v[2].src) {
		return Result{}, false
	}
	for _, f := range v {
		f.findLists()
	}
	done := map[string]string{}
	for name, base := range v[0].lists {
		ours, theirs := v[1].lists[name], v[2].lists[name]
		if ours == nil || theirs == nil {
			continue
		}
		if (ours.oneLine || theirs.oneLine) && (sameItems(base, ours) || sameItems(base, theirs) || sameItems(ours, theirs)) {
			continue // they merge as lines, and stay on one
		}
		var items []item
		var ok bool
		switch {
		case name == "import":
			items, ok = mergeImports(base.items, ours.items, theirs.items)
		case base.ordered:
			items, ok = mergeOrdered(base.items, ours.items, theirs.items)
		default:
			items, ok = mergeItems(base.items, ours.items, theirs.items, noMerge)
		}
		if ok && (len(items) > 0 || name != "import") {
			done[name] = "\n" + write(items)
		}
	}
	if len(done) == 0 {
		return Result{}, false
	}
	r := newMerge3(v[0].replace(done), v[1].replace(done), v[2].replace(done)).render(labels)
	return r, true
}

func sameItems(x, y *list) bool {
	return slices.EqualFunc(x.items, y.items, func(x, y item) bool { return x.norm == y.norm })
}

func noMerge(_, _, _ *item) (string, bool) { return "", false }

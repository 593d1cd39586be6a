package combos

import (
	"errors"
	"fmt"
	"go/ast"
	"go/types"
	"os"
	"reflect"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/appends"
	"golang.org/x/tools/go/analysis/passes/assign"
	"golang.org/x/tools/go/analysis/passes/atomic"
	"golang.org/x/tools/go/analysis/passes/bools"
	"golang.org/x/tools/go/analysis/passes/buildtag"
	"golang.org/x/tools/go/analysis/passes/composite"
	"golang.org/x/tools/go/analysis/passes/copylock"
	"golang.org/x/tools/go/analysis/passes/defers"
	"golang.org/x/tools/go/analysis/passes/directive"
	"golang.org/x/tools/go/analysis/passes/errorsas"
	"golang.org/x/tools/go/analysis/passes/hostport"
	"golang.org/x/tools/go/analysis/passes/httpresponse"
	"golang.org/x/tools/go/analysis/passes/ifaceassert"
	"golang.org/x/tools/go/analysis/passes/loopclosure"
	"golang.org/x/tools/go/analysis/passes/lostcancel"
	"golang.org/x/tools/go/analysis/passes/nilfunc"
	"golang.org/x/tools/go/analysis/passes/printf"
	"golang.org/x/tools/go/analysis/passes/shift"
	"golang.org/x/tools/go/analysis/passes/sigchanyzer"
	"golang.org/x/tools/go/analysis/passes/slog"
	"golang.org/x/tools/go/analysis/passes/stdmethods"
	"golang.org/x/tools/go/analysis/passes/stdversion"
	"golang.org/x/tools/go/analysis/passes/stringintconv"
	"golang.org/x/tools/go/analysis/passes/structtag"
	"golang.org/x/tools/go/analysis/passes/testinggoroutine"
	"golang.org/x/tools/go/analysis/passes/tests"
	"golang.org/x/tools/go/analysis/passes/timeformat"
	"golang.org/x/tools/go/analysis/passes/unmarshal"
	"golang.org/x/tools/go/analysis/passes/unreachable"
	"golang.org/x/tools/go/analysis/passes/unsafeptr"
	"golang.org/x/tools/go/analysis/passes/unusedresult"
	"golang.org/x/tools/go/analysis/passes/waitgroup"
)

// suite is what go vet runs (cmd/vet, Go 1.26), but for the analyzers of assembly
// and of cgo, of which no service has any.
var suite = []*analysis.Analyzer{
	appends.Analyzer, assign.Analyzer, atomic.Analyzer, bools.Analyzer, buildtag.Analyzer,
	composite.Analyzer, copylock.Analyzer, defers.Analyzer, directive.Analyzer, errorsas.Analyzer,
	hostport.Analyzer, httpresponse.Analyzer, ifaceassert.Analyzer, loopclosure.Analyzer,
	lostcancel.Analyzer, nilfunc.Analyzer, printf.Analyzer, shift.Analyzer, sigchanyzer.Analyzer,
	slog.Analyzer, stdmethods.Analyzer, stdversion.Analyzer, stringintconv.Analyzer,
	structtag.Analyzer, testinggoroutine.Analyzer, tests.Analyzer, timeformat.Analyzer,
	unmarshal.Analyzer, unreachable.Analyzer, unsafeptr.Analyzer, unusedresult.Analyzer,
	waitgroup.Analyzer,
}

// facts are what the analyzers found out about a service's own objects and
// packages. Of other packages nothing is known, as for a package of go vet whose
// dependencies were not vetted.
type facts map[factKey]analysis.Fact

type factKey struct {
	about any // a types.Object or *types.Package
	kind  reflect.Type
}

func (f facts) find(about any, fact analysis.Fact) bool {
	known, ok := f[factKey{about, reflect.TypeOf(fact)}]
	if ok {
		reflect.ValueOf(fact).Elem().Set(reflect.ValueOf(known).Elem())
	}
	return ok
}

func (f facts) put(about any, fact analysis.Fact) { f[factKey{about, reflect.TypeOf(fact)}] = fact }

// analyze runs the suite on a unit, and returns what it reports.
func (s *service) analyze(u *unit, files []*ast.File, info *types.Info, sizes types.Sizes) error {
	var errs []error
	results := make(map[*analysis.Analyzer]any)
	var run func(a *analysis.Analyzer) error
	run = func(a *analysis.Analyzer) error {
		if _, done := results[a]; done {
			return nil
		}
		of := make(map[*analysis.Analyzer]any)
		for _, needed := range a.Requires {
			if err := run(needed); err != nil {
				return err
			}
			of[needed] = results[needed]
		}
		result, err := a.Run(&analysis.Pass{
			Analyzer: a, Fset: s.fset, Files: files, Pkg: u.types, TypesInfo: info, TypesSizes: sizes,
			Module:   &analysis.Module{Path: s.module, GoVersion: s.goVersion},
			ResultOf: of, ReadFile: os.ReadFile,
			Report: func(d analysis.Diagnostic) {
				errs = append(errs, fmt.Errorf("%s: %s (vet: %s)", s.fset.Position(d.Pos), d.Message, a.Name))
			},
			ImportObjectFact:  func(o types.Object, f analysis.Fact) bool { return u.facts.find(o, f) },
			ImportPackageFact: func(p *types.Package, f analysis.Fact) bool { return u.facts.find(p, f) },
			ExportObjectFact:  func(o types.Object, f analysis.Fact) { u.facts.put(o, f) },
			ExportPackageFact: func(f analysis.Fact) { u.facts.put(u.types, f) },
			AllObjectFacts:    func() []analysis.ObjectFact { return nil },
			AllPackageFacts:   func() []analysis.PackageFact { return nil },
		})
		results[a] = result
		return err
	}
	for _, a := range s.vet {
		err := run(a) // which reports to errs, too
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/record"
)

// What came of a command, as a document says it.
const (
	resultWritten   = "written"
	resultPlanned   = "planned"   // --dry-run
	resultUnchanged = "unchanged" // there was nothing to do
	resultConflicts = "conflicts" // nothing was written
	resultDrift     = "drift"     // check: apply would change something
	resultFailed    = "failed"    // nothing was written, if the error says no more
)

// A document is what a command that changes a service prints with --json.
type document struct {
	Command string       `json:"command"`
	Result  string       `json:"result"`
	Error   string       `json:"error,omitempty"`
	Root    string       `json:"root,omitempty"` // absolute
	Service *serviceJSON `json:"service,omitempty"`
	// Added are the patterns that came because another one requires them.
	Added []catalog.Added `json:"added,omitempty"`
	// Needed says which of the owner's files import what is taken out.
	Needed []use `json:"needed,omitempty"`
	// Broken says what of the owner's code no longer type-checks.
	Broken []string `json:"broken,omitempty"`
	// Clashes says which routes of the owner's some that are to come clash with.
	Clashes []string   `json:"clashes,omitempty"`
	Plan    *plan.Plan `json:"plan,omitempty"`
	// Notes are what else was told, beside the document too.
	Notes []string `json:"notes,omitempty"`
	// Module is what was found where scaffold did not make the module.
	Module *moduleJSON `json:"module,omitempty"`
}

// serviceJSON is what a service is made of.
type serviceJSON struct {
	Name     string            `json:"name"`
	Module   string            `json:"module"`
	Patterns []string          `json:"patterns"` // with those that are required
	Options  map[string]string `json:"options"`
}

func describe(m record.Manifest, s catalog.Selection) *serviceJSON {
	out := &serviceJSON{Name: m.Name, Module: m.Module, Patterns: s.Patterns, Options: s.Options}
	if out.Patterns == nil {
		out.Patterns = []string{}
	}
	return out
}

func (doc *document) draft(d *draft) {
	doc.Root = d.root
	if abs, err := filepath.Abs(d.root); err == nil {
		doc.Root = abs
	}
	doc.Service = describe(d.want, d.selection)
	doc.Added, doc.Needed, doc.Broken, doc.Clashes, doc.Plan = d.added, d.needed, d.broken, d.clashes, &d.plan
}

// close completes the document with what came of the command, and prints it if
// it was asked for. It returns err, or why the document can't be printed.
func (a *app) close(doc *document, o *changeOptions, err error) error {
	if !o.json {
		return err
	}
	var unborne *bearError
	switch {
	case errors.Is(err, errConflicts), errors.As(err, &unborne):
		doc.Result = resultConflicts
	case errors.Is(err, errDrift):
		doc.Result = resultDrift
	case err != nil:
		doc.Result = resultFailed
	case doc.Result == "":
		doc.Result = resultPlanned
	}
	if err != nil {
		doc.Error = err.Error()
	}
	doc.Notes = a.notes
	return errors.Join(err, a.printJSON(doc))
}

// printJSON prints v as one document.
func (a *app) printJSON(v any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	a.printed.document = true
	a.printf("%s", text.Bytes())
	return nil
}

// asksJSON reports whether args ask for a document, for a command that could not
// read all of them.
func asksJSON(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "--json", "--json=true":
			return true
		case "--":
			return false
		}
	}
	return false
}

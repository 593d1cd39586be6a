package cli

import (
	"bytes"
	"fmt"
	"regexp"
)

// partLine is a line of the list of parts in a service's app.go.
var partLine = regexp.MustCompile(`(?m)^\s*(\{"([a-z0-9_]+)", (a\.setup\w+)\},)$`)

// noteUnwired tells which parts of the service its app.go does not set up, though
// the templates' does: the owner took them out, or took one side of a merge.
func (a *app) noteUnwired(d *draft) {
	name := "cmd/" + d.want.Name + "/app.go"
	next, ok := d.next[name]
	if !ok {
		return
	}
	stands := next
	if step, ok := d.plan.Step(name); ok {
		if step.After == nil {
			a.notef("%s: is not there, and it sets up what the service has: do that where yours starts, unless you left it out on purpose", name)
			return
		}
		stands = *step.After
	}
	a.noteUnset(name, next.Data, stands.Data)
}

// noteUnset tells which parts app.go does not set up, of those that it would.
func (a *app) noteUnset(name string, next, stands []byte) {
	if bytes.Equal(stands, next) {
		return
	}
	for _, m := range partLine.FindAllSubmatch(next, -1) {
		// Under the same name, or by the same method: it may have been renamed.
		set := regexp.MustCompile(regexp.QuoteMeta(string(m[3])) + `\b|\{"` + string(m[2]) + `",`)
		if !set.Match(stands) {
			a.notef("%s: does not set up %s: put `%s` among its parts%s, unless you left it out on purpose", name, m[2], m[1], field(next, stands, string(m[2])))
		}
	}
}

// field says what else of a part is to be put into app.go: the App's field for it,
// where that has none.
func field(next, stands []byte, part string) string {
	line := regexp.MustCompile(`(?m)^\t` + part + ` +(\*?(\w+)\.\w+)$`)
	m := line.FindSubmatch(next)
	if m == nil || line.Match(stands) {
		return ""
	}
	imported := regexp.MustCompile(`(?m)^\t("\S+/` + string(m[2]) + `")$`).FindSubmatch(next)
	if imported == nil || bytes.Contains(stands, imported[1]) {
		return fmt.Sprintf(" and `%s %s` into App", part, m[1])
	}
	return fmt.Sprintf(" and `%s %s` into App, and import %s", part, m[1], imported[1])
}

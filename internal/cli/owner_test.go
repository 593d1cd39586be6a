package cli

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/seed-d146d9dc/scaffold/internal/record"
)

// An edit is one thing that a simulated owner did to a service.
type edit struct {
	what, path string
	// stands reports whether it is still so, given all files as [below] reads them.
	stands func(path string, files map[string]string) bool
}

// An owner edits the service at root as a person would, and remembers each edit.
type owner struct {
	t    *rapid.T
	root string
	// brought are the paths that some choice of patterns brings.
	brought []string
	// hot are those that a command is likely to change: half of the edits go there.
	hot    []string
	serial int
	edits  []edit
}

// mark is a word that stands nowhere else.
func (o *owner) mark() string {
	o.serial++
	return fmt.Sprintf("owner%dx", o.serial)
}

func (o *owner) name(p string) string { return filepath.Join(o.root, filepath.FromSlash(p)) }

func (o *owner) files() map[string]string {
	files, err := below(o.root)
	if err != nil {
		o.t.Fatal(err)
	}
	return files
}

// paths are the service's own files.
func (o *owner) paths(keep func(p string) bool) []string {
	var paths []string
	for p := range o.files() {
		p = filepath.ToSlash(p)
		if !strings.HasPrefix(p, record.Dir+"/") && p != record.ManifestFile && keep(p) {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return paths
}

func (o *owner) pick(label string, keep func(p string) bool) (p, text string, ok bool) {
	paths := o.paths(keep)
	if hot := slices.DeleteFunc(slices.Clone(o.hot), func(p string) bool { return !slices.Contains(paths, p) }); len(hot) > 0 && rapid.Bool().Draw(o.t, "hot") {
		paths = hot
	}
	if len(paths) == 0 {
		return "", "", false
	}
	p = rapid.SampledFrom(paths).Draw(o.t, label)
	return p, o.read(p), true
}

func (o *owner) read(p string) string {
	data, err := os.ReadFile(o.name(p))
	if err != nil {
		o.t.Fatal(err)
	}
	return string(data)
}

func (o *owner) write(p, text string) {
	if err := os.MkdirAll(filepath.Dir(o.name(p)), 0o755); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(o.name(p), []byte(text), 0o644); err != nil {
		o.t.Fatal(err)
	}
}

func (o *owner) did(what, p string, stands func(p string, files map[string]string) bool) {
	o.edits = append(o.edits, edit{what, p, stands})
}

// wrote remembers an edit that stands as long as its mark does.
func (o *owner) wrote(what, p, mark, text string) {
	o.write(p, text)
	o.did(what+" "+mark, p, func(p string, files map[string]string) bool { return strings.Contains(files[p], mark) })
}

// drawLine draws a line, often among the first ones, so that edits meet.
func drawLine(t *rapid.T, lines []string) int {
	last := len(lines) - 1
	if rapid.Bool().Draw(t, "at the top") {
		last = min(last, 8)
	}
	return rapid.IntRange(0, last).Draw(t, "line")
}

// comment is a line that a file of this name may have anywhere.
func comment(p, mark string) string {
	switch path.Ext(p) {
	case ".go", ".js":
		return "// " + mark + "\n"
	case ".md", ".html":
		return "<!-- " + mark + " -->\n"
	case ".sql":
		return "-- " + mark + "\n"
	}
	return "# " + mark + "\n"
}

// lines are all but those that are written by rules of their own.
func isText(p string) bool { return p != "go.mod" && p != "go.sum" }

// edit makes one edit, if it can be made here.
func (o *owner) edit() {
	mark := o.mark()
	switch kind := rapid.IntRange(0, 17).Draw(o.t, "edit"); kind {
	case 0, 1:
		p, text, ok := o.pick("commented file", isText)
		if !ok {
			return
		}
		lines := strings.SplitAfter(text, "\n")
		at := drawLine(o.t, lines)
		o.wrote("comment", p, mark, strings.Join(slices.Insert(lines, at, comment(p, mark)), ""))
	case 2, 3:
		p, text, ok := o.pick("changed file", isText)
		if !ok {
			return
		}
		lines := strings.SplitAfter(text, "\n")
		at := drawLine(o.t, lines)
		lines[at] = strings.TrimSuffix(lines[at], "\n") + " " + comment(p, mark)
		o.wrote("changed line", p, mark, strings.Join(lines, ""))
	case 4:
		o.cutLine()
	case 5:
		o.appGo(mark)
	case 6:
		o.into("compose.yaml", "service", "services:\n", "  "+mark+":\n    image: busybox\n", mark)
	case 7:
		o.into(".github/workflows/ci.yml", "step", "    steps:\n", "      - run: echo "+mark+"\n", mark)
	case 8:
		o.into("go.mod", "require", "require (\n", "\texample.com/"+mark+" v1.2.3\n", mark)
	case 9:
		line := rapid.SampledFrom([]string{
			"\nreplace example.com/%s => ../%[1]s\n", "\n// %s is why.\n", "\nexclude example.com/%s v1.0.0\n", "\nrequire example.com/%s v1.0.0 // indirect\n",
		}).Draw(o.t, "go.mod line")
		o.into("go.mod", "line", "", fmt.Sprintf(line, mark), mark)
	case 10:
		o.bump()
	case 11:
		o.into("go.sum", "line", "", "example.com/"+mark+" v1.2.3 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", mark)
	case 12:
		o.into("Makefile", "target", "", "\n"+mark+":\n\techo\n", mark)
	case 13:
		if p, _, ok := o.pick("deleted file", func(string) bool { return true }); ok {
			o.remove(p)
		}
	case 14:
		o.rename(mark)
	case 15:
		o.chmod()
	case 16:
		o.ownFile(mark)
	case 17:
		p := record.ManifestFile
		lines := strings.SplitAfter(o.read(p), "\n")
		at := drawLine(o.t, lines)
		o.wrote("comment", p, mark, strings.Join(slices.Insert(lines, at, "# "+mark+"\n"), ""))
	}
}

// into puts text after the first occurrence of a line, or at the end.
func (o *owner) into(p, what, after, text, mark string) {
	if !slices.Contains(o.paths(isAny), p) {
		return
	}
	was := o.read(p)
	at := len(was)
	if after != "" {
		i := strings.Index(was, after)
		if i < 0 {
			return
		}
		at = i + len(after)
	}
	o.wrote(what, p, mark, was[:at]+text+was[at:])
}

func isAny(string) bool { return true }

// appGo adds a part, the field that it has, and the import that it needs, as one
// does by hand: three edits.
func (o *owner) appGo(mark string) {
	p, text, ok := o.pick("app.go", func(p string) bool { return path.Base(p) == "app.go" })
	if !ok {
		return
	}
	entry := "\t\t{\"" + mark + "\", a.setup},\n"
	switch last := rapid.Bool().Draw(o.t, "last part"); {
	case strings.Contains(text, "return []part{}\n"):
		text = strings.Replace(text, "return []part{}\n", "return []part{\n"+entry+"\t}\n", 1)
	case last && strings.Contains(text, "},\n\t}\n}\n"):
		text = strings.Replace(text, "},\n\t}\n}\n", "},\n"+entry+"\t}\n}\n", 1)
	case strings.Contains(text, "return []part{\n"):
		text = strings.Replace(text, "return []part{\n", "return []part{\n"+entry, 1)
	default:
		return
	}
	o.wrote("part", p, `"`+mark+`"`, text)
	if field := "\thost\n"; strings.Contains(text, field) {
		text = strings.Replace(text, field, field+"\n\t"+mark+" int\n", 1)
		o.wrote("field", p, mark+" int", text)
	}
	spec := mark + ` "strings"`
	switch {
	case strings.Contains(text, "import (\n"):
		text = strings.Replace(text, "import (\n", "import (\n\t"+spec+"\n", 1)
	case strings.Contains(text, "package main\n"):
		text = strings.Replace(text, "package main\n", "package main\n\nimport "+spec+"\n", 1)
	default:
		return // the owner cut that line
	}
	o.wrote("import", p, spec, text)
}

// recorded is the file as it was last written.
func recorded(p string, files map[string]string) (text string, ok bool) {
	for _, suffix := range []string{".base", ".xbase"} {
		if text, ok = files[record.Dir+"/base/"+p+suffix]; ok {
			return text, ok
		}
	}
	return "", false
}

// occurs counts a line, whatever the space in it.
func occurs(line, text string) int {
	n := 0
	for l := range strings.Lines(text) {
		if slices.Equal(strings.Fields(l), strings.Fields(line)) {
			n++
		}
	}
	return n
}

// cutLine deletes a line that stands once in a file, and in what was written.
func (o *owner) cutLine() {
	p, text, ok := o.pick("cut file", isText)
	if !ok {
		return
	}
	lines := strings.SplitAfter(text, "\n")
	at := drawLine(o.t, lines)
	line := lines[at]
	base, ok := recorded(p, o.files())
	if !ok || occurs(line, text) != 1 || occurs(line, base) != 1 {
		return
	}
	o.write(p, strings.Join(slices.Delete(lines, at, at+1), ""))
	was := p // it may be renamed
	o.did("cut "+strings.TrimSpace(line), p, func(p string, files map[string]string) bool {
		next, _ := recorded(was, files)
		return occurs(line, files[p]) <= max(0, occurs(line, next)-1)
	})
}

var required = regexp.MustCompile(`(?m)^\t(\S+) (v\d+)\.\S+(.*)\n`)

// bump takes a newer version of a module than the templates have.
func (o *owner) bump() {
	if !slices.Contains(o.paths(isAny), goMod) {
		return
	}
	text := o.read(goMod)
	all := required.FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return
	}
	m := rapid.SampledFrom(all).Draw(o.t, "bumped module")
	want := m[1] + " " + m[2] + ".999.0"
	o.wrote("version", goMod, want, strings.Replace(text, m[0], "\t"+want+m[3]+"\n", 1))
}

// forget drops the edits of a path that drop says.
func (o *owner) forget(p string, drop func(e edit) bool) {
	o.edits = slices.DeleteFunc(o.edits, func(e edit) bool { return e.path == p && drop(e) })
}

func (o *owner) remove(p string) {
	if err := os.Remove(o.name(p)); err != nil {
		o.t.Fatal(err)
	}
	o.forget(p, func(edit) bool { return true })
	if _, ok := recorded(p, o.files()); !ok {
		return // it was the owner's own
	}
	o.did("deleted", p, func(p string, files map[string]string) bool { _, ok := files[p]; return !ok })
}

// rename moves a file, with the edits in it.
func (o *owner) rename(mark string) {
	p, text, ok := o.pick("renamed file", isAny)
	if !ok {
		return
	}
	to := path.Join(path.Dir(p), mark+"_"+path.Base(p))
	o.write(to, text)
	var moved []edit
	for _, e := range o.edits {
		if e.path == p && !strings.HasPrefix(e.what, "mode") {
			e.path = to
			moved = append(moved, e)
		}
	}
	o.remove(p)
	o.edits = append(o.edits, moved...)
	o.did("renamed", to, func(p string, files map[string]string) bool { _, ok := files[p]; return ok })
}

func (o *owner) chmod() {
	p, _, ok := o.pick("file of another mode", isAny)
	if !ok {
		return
	}
	info, err := os.Stat(o.name(p))
	if err != nil {
		o.t.Fatal(err)
	}
	exec := info.Mode()&0o100 == 0
	perm := os.FileMode(0o644)
	if exec {
		perm = 0o755
	}
	if err := os.Chmod(o.name(p), perm); err != nil {
		o.t.Fatal(err)
	}
	before := len(o.edits)
	o.forget(p, func(e edit) bool { return e.what == "mode" })
	if len(o.edits) < before {
		return // back to what it was
	}
	o.did("mode", p, func(p string, files map[string]string) bool {
		mode, _, _ := strings.Cut(files[p], "\n")
		return strings.Contains(mode, "x") == exec
	})
}

// ownFile makes a file, also where one of a pattern's would come, or its folder,
// or one that differs in case only.
func (o *owner) ownFile(mark string) {
	p := rapid.SampledFrom(o.brought).Draw(o.t, "own file")
	switch rapid.IntRange(0, 5).Draw(o.t, "where") {
	case 0:
		p = "notes/" + mark + ".txt"
	case 1:
		p = path.Dir(p)
	case 2:
		if slices.Contains(o.paths(isAny), p) {
			return // no one has both
		}
		p = path.Join(path.Dir(p), strings.ToUpper(path.Base(p)))
	}
	for at := p; at != "."; at = path.Dir(at) {
		info, err := os.Lstat(o.name(at))
		if err == nil && (at == p || !info.IsDir()) {
			return
		}
	}
	if p == "." {
		return
	}
	o.forget(p, func(edit) bool { return true })
	o.wrote("own file", p, mark, comment(p, mark))
}

package plan

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/merge"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// labels are what stands on conflict markers.
var labels = merge.Labels{Ours: "yours", Base: "last written by scaffold", Theirs: "scaffold"}

// KindOf returns how a file of this name is merged.
func KindOf(name string) merge.Kind {
	switch base := path.Base(name); {
	case base == "go.mod":
		return merge.GoMod
	case base == "go.sum":
		return merge.GoSum
	case strings.HasSuffix(base, ".go"):
		return merge.Go
	case strings.HasSuffix(base, ".yml"), strings.HasSuffix(base, ".yaml"):
		return merge.YAML
	default:
		return merge.Text
	}
}

// Make compares the trees: base is what was last written, next what is to
// stand in the repository, work what stands there now.
//
// A repository may be huge, so work need not be all of it. It must hold every
// file that stands at a path of base or next, at a path that differs from one
// of those only in case, at a parent of one, or below one (one file is enough
// there: it shows that the path is a directory). Other files get no step, unless
// the owner renamed a file of base to one of them: so work holds those that can be
// it by [Alike], where a file of base is missing.
//
// What the owner deleted stays deleted. Where that leaves out an update to one
// of the needed paths, without which the rest is of no use, it is a conflict.
func Make(base, next, work tree.Tree, needed ...string) Plan {
	paths := append(base.Paths(), next.Paths()...)
	slices.Sort(paths)
	moved := renamed(base, next, work)
	var p Plan
	for _, path := range slices.Compact(paths) {
		s := Step{Path: path, Base: lookup(base, path), Next: lookup(next, path)}
		if to, ok := moved[path]; ok {
			s.Path, s.From = to, path
		}
		s.Work = lookup(work, s.Path)
		if s.compare(slices.Contains(needed, path)) {
			p.Steps = append(p.Steps, s)
		}
	}
	slices.SortFunc(p.Steps, func(a, b Step) int { return strings.Compare(a.Path, b.Path) })
	p.obstruct(work)
	return p
}

func lookup(t tree.Tree, path string) *tree.File {
	if f, ok := t[path]; ok {
		return &f
	}
	return nil
}

// compare fills in what the step does, and reports whether there is anything to
// say about it. Its cases are the rows of the table in the package's tests.
func (s *Step) compare(needed bool) bool {
	s.After = s.Work
	untouched := stands(s.Base, s.Work)
	switch {
	case s.From != "":
		s.compareRenamed()
	case same(s.Base, s.Next) && untouched:
		return false
	case s.Work == nil:
		s.compareAbsent(needed)
	case s.Base == nil:
		s.compareUnknown()
	case s.Next == nil && untouched:
		s.does(Delete, nil, "no longer part of the service, and you have not changed it")
	case s.Next == nil:
		s.conflict(Removed, "you changed it, and it is no longer part of the service", Mine, Theirs)
	case same(s.Base, s.Next):
		s.does(Keep, s.Work, "you changed it, and its template is as before")
	case untouched:
		s.does(Update, inLineEnds(s.Work, s.Next), "its template changed, and you have not changed it")
	case stands(s.Next, s.Work):
		s.does(Settled, s.Work, "you already changed it to what its template says now")
	default:
		s.merge()
	}
	return true
}

// compareRenamed is compare for a file that the owner renamed, which is an edit like
// others: what the templates have no more is not deleted for it.
func (s *Step) compareRenamed() {
	switch {
	case s.Next == nil:
		s.conflict(Removed, "it is no longer part of the service", Mine, Theirs)
	case same(s.Base, s.Next):
		s.does(Keep, s.Work, "its template is as before")
	case same(s.Work, s.Next):
		s.does(Settled, s.Work, "it is what its template says now")
	case same(s.Base, s.Work):
		s.does(Merge, s.Next, "its template changed")
	default:
		s.merge()
	}
	s.Why += " (renamed from " + s.From + ")"
}

// compareAbsent is compare for a path at which nothing stands.
func (s *Step) compareAbsent(needed bool) {
	switch {
	case s.Base == nil:
		s.does(Create, s.Next, "new")
	case s.Next == nil:
		s.does(Settled, nil, "no longer part of the service, and you have already deleted it")
	case same(s.Base, s.Next):
		s.does(Keep, nil, "you deleted it: it stays deleted")
	case needed:
		s.conflict(Missing, "you deleted it, and what is new needs its update", Mine, Theirs)
	default:
		s.does(LeftOut, nil, "you deleted it; this update is not made")
	}
}

// compareUnknown is compare for a new file at a path at which one stands that
// scaffold didn't write.
func (s *Step) compareUnknown() {
	if !bytes.Equal(s.Work.Data, LineEnds(s.Work.Data, s.Next.Data)) {
		s.conflict(Exists, "you have a file of your own where a new one should come", Mine, Theirs)
		drawn := merge.Merge(merge.Text, nil, s.Work.Data, s.Next.Data, labels)
		s.draw(drawn, s.Work.Exec || s.Next.Exec)
		return
	}
	s.does(Settled, s.Work, "already there with the same content")
	if s.Work.Exec != s.Next.Exec {
		s.Why += "; its executable bit stays as you set it"
	}
	s.Notes = append(s.Notes, "you had this file already: it belongs to the service from now on, and goes with what brought it")
}

// merge is compare for a file that both sides changed.
func (s *Step) merge() {
	exec := s.Work.Exec
	if s.Work.Exec == s.Base.Exec {
		exec = s.Next.Exec
	}
	r := mergeFile(KindOf(s.Path), s.Base.Data, s.Work.Data, s.Next.Data)
	s.Notes = r.Notes
	if !r.Clean() {
		s.conflict(Reason(r.Conflicts[0].Reason), "you and its template "+bothWhy(r), Mine, Theirs)
		s.draw(r, exec)
		return
	}
	after := &tree.File{Data: r.Data, Exec: exec}
	if same(after, s.Work) {
		s.does(Keep, s.Work, "you and its template changed it, and yours has all of it")
		return
	}
	s.does(Merge, after, "you and its template changed it in different places")
}

// mergeFile is [merge.Merge] with the labels of a plan, for an owner who may have other
// line ends than the templates: a file in which every line ends in CRLF is merged
// as if none did, and written as it is.
func mergeFile(kind merge.Kind, base, ours, theirs []byte) merge.Result {
	if !crlf(ours) || bytes.ContainsRune(base, '\r') || bytes.ContainsRune(theirs, '\r') {
		return merge.Merge(kind, base, ours, theirs, labels)
	}
	r := merge.Merge(kind, base, bytes.ReplaceAll(ours, []byte("\r\n"), []byte("\n")), theirs, labels)
	r.Data = LineEnds(ours, r.Data)
	return r
}

// LineEnds returns text, in which lines end in LF, with the line ends of ours.
func LineEnds(ours, text []byte) []byte {
	if !crlf(ours) {
		return text
	}
	return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
}

// stands reports whether a file is the one that was written, whose line ends git may
// have changed at a checkout: that is no edit of the owner's.
func stands(written, work *tree.File) bool {
	if written == nil || work == nil {
		return written == work
	}
	return same(inLineEnds(work, written), work)
}

// inLineEnds is [LineEnds] for a file. One that has CR already stays as it is.
func inLineEnds(ours, f *tree.File) *tree.File {
	if bytes.ContainsRune(f.Data, '\r') {
		return f
	}
	return &tree.File{Data: LineEnds(ours.Data, f.Data), Exec: f.Exec}
}

// crlf reports whether all lines end in CRLF, and there are such.
func crlf(data []byte) bool {
	n := bytes.Count(data, []byte("\r\n"))
	return n > 0 && n == bytes.Count(data, []byte("\n")) && n == bytes.Count(data, []byte("\r"))
}

func bothWhy(r merge.Result) string {
	switch r.Conflicts[0].Reason {
	case merge.Overlap:
		return "changed the same lines"
	case merge.NotBinary:
		return "changed it, and it is not text"
	default:
		return "changed it, and the changes do not fit: " + r.Conflicts[0].Why
	}
}

func (s *Step) does(action Action, after *tree.File, why string) {
	s.Action, s.After, s.Why = action, after, why
}

func (s *Step) conflict(reason Reason, why string, choices ...Policy) {
	s.does(Conflict, s.Work, why)
	s.Conflict = &Undecided{Reason: reason, Choices: choices}
}

// draw adds what the policy Markers would write, where there can be markers.
func (s *Step) draw(r merge.Result, exec bool) {
	s.Conflict.Places = r.Conflicts
	if r.Marked {
		s.Conflict.draft = &tree.File{Data: r.Data, Exec: exec}
		s.Conflict.Choices = append(s.Conflict.Choices, Markers)
	}
}

// obstruct turns steps that write a new path into conflicts where another file
// of the repository stands in the way.
func (p Plan) obstruct(work tree.Tree) {
	gone := map[string]bool{}
	for _, s := range p.Steps {
		if s.Action == Delete {
			gone[s.Path] = true
		}
	}
	files := map[string]string{} // folded path of a file that stays → path
	dirs := map[string]string{}  // folded path of a directory that stays → a file below it
	for _, file := range work.Paths() {
		if gone[file] {
			continue
		}
		files[fold(file)] = file
		for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
			dirs[fold(dir)] = file
		}
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		missing := s.Action == Conflict && s.Conflict.Reason == Missing
		if s.Work != nil || s.After == nil && !missing {
			continue
		}
		if other, ok := files[fold(s.Path)]; ok {
			s.conflict(CaseClash, "you have "+other+", which many file systems take for the same path", Mine)
			continue
		}
		if other, ok := dirs[fold(s.Path)]; ok {
			s.conflict(Obstacle, "it should come where you have a directory (with "+other+")", Mine)
			continue
		}
		for dir := path.Dir(s.Path); dir != "."; dir = path.Dir(dir) {
			if other, ok := files[fold(dir)]; ok {
				s.conflict(Obstacle, "you have a file "+other+" where its directory should come", Mine)
				break
			}
		}
		files[fold(s.Path)] = s.Path
	}
}

// fold maps paths that a file system without case may take for one to the same
// string.
func fold(path string) string { return strings.ToLower(strings.ToUpper(path)) }

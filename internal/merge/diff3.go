package merge

import (
	"bytes"
	"slices"
	"strings"
)

// This file is the diff3 of Khanna, Kunal and Pierce, "A Formal Investigation
// of Diff3" (2007): base is matched with each side, the lines matched with both
// cut the three versions into chunks, and a chunk that only one side changed
// takes that side. It is stricter in two ways, as git is: changes that merely
// touch are one chunk, and so are changes that could be placed so that they
// touch (see align).

// A span is the half-open range of lines from..to.
type span struct{ from, to int }

func (s span) empty() bool { return s.from == s.to }

// A hunk is a change of one side: the lines of base that it replaces and the
// lines of the side that it puts there.
type hunk struct{ base, side span }

// hunks returns the gaps between matched lines, in order. Between two hunks
// there is always a matched line.
func hunks(match []int, sideLen int) []hunk {
	var hs []hunk
	i, j := 0, 0
	for k, m := range append(slices.Clone(match), sideLen) {
		if m == noMatch {
			continue
		}
		if k > i || m > j {
			hs = append(hs, hunk{span{i, k}, span{j, m}})
		}
		i, j = k+1, m+1
	}
	return hs
}

type origin int

const (
	fromBase   origin = iota // no side changed it
	fromOurs                 // only ours did
	fromTheirs               // only theirs did
	fromBoth                 // both, to the same
	undecided                // both, to different things
)

// A chunk is a stretch of all three versions, and where its lines come from.
type chunk struct {
	origin             origin
	base, ours, theirs span
}

// A merge3 is three versions cut into chunks.
type merge3 struct {
	base, ours, theirs [][]byte
	chunks             []chunk
}

func newMerge3(base, ours, theirs []byte) *merge3 {
	m := &merge3{base: splitLines(base), ours: splitLines(ours), theirs: splitLines(theirs)}
	ids := make(map[string]line, len(m.base)+len(m.base)/4)
	o, a, b := number(ids, m.base), number(ids, m.ours), number(ids, m.theirs)
	m.cut(o, a, b, len(ids))
	return m
}

// splitLines cuts data after each newline; only the last line may lack one.
func splitLines(data []byte) [][]byte {
	return slices.Collect(bytes.Lines(data))
}

func number(ids map[string]line, lines [][]byte) []line {
	nums := make([]line, len(lines))
	for i, text := range lines {
		id, ok := ids[string(text)]
		if !ok {
			id = line(len(ids)) //nolint:gosec // a file of 2^31 lines doesn't fit in memory
			ids[string(text)] = id
		}
		nums[i] = id
	}
	return nums
}

func (m *merge3) cut(o, a, b []line, different int) {
	as, bs := hunks(align(o, a, different), len(a)), hunks(align(o, b, different), len(b))
	var at chunk // the end of what is cut already
	stable := func(to int) {
		if n := to - at.base.to; n > 0 {
			at = chunk{fromBase, grow(at.base, n), grow(at.ours, n), grow(at.theirs, n)}
			m.chunks = append(m.chunks, at)
		}
	}
	for len(as) > 0 || len(bs) > 0 {
		start := len(o)
		if len(as) > 0 {
			start = as[0].base.from
		}
		if len(bs) > 0 {
			start = min(start, bs[0].base.from)
		}
		stable(start)
		end, na, nb := start, 0, 0
		for {
			if na < len(as) && as[na].base.from <= end {
				end = max(end, as[na].base.to)
				na++
			} else if nb < len(bs) && bs[nb].base.from <= end {
				end = max(end, bs[nb].base.to)
				nb++
			} else {
				break
			}
		}
		c := chunk{
			base:   span{start, end},
			ours:   sideSpan(at.ours.to, end-start, as[:na]),
			theirs: sideSpan(at.theirs.to, end-start, bs[:nb]),
		}
		switch {
		case nb == 0:
			c.origin = fromOurs
		case na == 0:
			c.origin = fromTheirs
		case slices.Equal(a[c.ours.from:c.ours.to], b[c.theirs.from:c.theirs.to]):
			c.origin = fromBoth
		default:
			c.origin = undecided
		}
		m.chunks = append(m.chunks, c)
		at, as, bs = c, as[na:], bs[nb:]
	}
	stable(len(o))
}

func grow(s span, n int) span { return span{s.to, s.to + n} }

// sideSpan returns the lines of a side, from start, that stand for n lines of
// base with the hunks hs among them.
func sideSpan(start, n int, hs []hunk) span {
	for _, h := range hs {
		n += (h.side.to - h.side.from) - (h.base.to - h.base.from)
	}
	return span{start, start + n}
}

const overlapWhy = "both sides changed these lines"

// render writes the chunks out, with markers where a chunk is undecided.
func (m *merge3) render(labels Labels) Result {
	w := writer{merge3: m, labels: labels, width: -1}
	for _, c := range m.chunks {
		switch c.origin {
		case fromBase, fromTheirs:
			w.lines(m.theirs[c.theirs.from:c.theirs.to])
		case fromOurs, fromBoth:
			w.lines(m.ours[c.ours.from:c.ours.to])
		case undecided:
			w.conflict(c, Overlap, overlapWhy)
		}
	}
	return w.result()
}

// renderAll is render for a merge whose lines are clean but whose whole is not:
// every change of theirs that ours has not made is put between markers.
func (m *merge3) renderAll(labels Labels, reason Reason, why string) Result {
	w := writer{merge3: m, labels: labels, width: -1}
	for _, c := range m.chunks {
		if c.origin == fromTheirs || c.origin == undecided {
			w.conflict(c, reason, why)
		} else {
			w.lines(m.ours[c.ours.from:c.ours.to])
		}
	}
	return w.result()
}

// A writer renders chunks and counts the lines.
type writer struct {
	*merge3
	labels    Labels
	width     int // of a marker, -1 until one is needed
	buf       bytes.Buffer
	count     int
	conflicts []Conflict
}

func (w *writer) result() Result {
	return Result{Data: w.buf.Bytes(), Marked: len(w.conflicts) > 0, Conflicts: w.conflicts}
}

func (w *writer) lines(lines [][]byte) {
	for _, l := range lines {
		w.buf.Write(l)
	}
	w.count += len(lines)
}

// conflict writes a chunk with the three versions between markers. Lines with
// which both sides start or end stay outside (git calls this zdiff3).
func (w *writer) conflict(c chunk, reason Reason, why string) {
	ours := w.ours[c.ours.from:c.ours.to]
	theirs := w.theirs[c.theirs.from:c.theirs.to]
	var head, tail int
	n := min(len(ours), len(theirs))
	for head < n && bytes.Equal(ours[head], theirs[head]) {
		head++
	}
	for tail < n-head && bytes.Equal(ours[len(ours)-1-tail], theirs[len(theirs)-1-tail]) {
		tail++
	}
	w.lines(ours[:head])
	start := w.count + 1
	eol := w.eol(c)
	w.marker('<', w.labels.Ours, eol)
	w.closed(ours[head:len(ours)-tail], eol)
	w.marker('|', w.labels.Base, eol)
	w.closed(w.base[c.base.from:c.base.to], eol)
	w.marker('=', "", eol)
	w.closed(theirs[head:len(theirs)-tail], eol)
	w.marker('>', w.labels.Theirs, eol)
	w.conflicts = append(w.conflicts, Conflict{Reason: reason, Start: start, End: w.count, Why: why})
	w.lines(ours[len(ours)-tail:])
}

// closed writes lines and makes sure that the next marker starts a line.
func (w *writer) closed(lines [][]byte, eol string) {
	w.lines(lines)
	if n := len(lines); n > 0 && !bytes.HasSuffix(lines[n-1], []byte("\n")) {
		w.buf.WriteString(eol)
	}
}

func (w *writer) marker(char byte, label, eol string) {
	if w.width < 0 {
		w.width = markerWidth(w.base, w.ours, w.theirs)
	}
	w.buf.WriteString(strings.Repeat(string(char), w.width))
	if label != "" {
		w.buf.WriteString(" " + label)
	}
	w.buf.WriteString(eol)
	w.count++
}

// eol returns the line end that the owner's version uses around the chunk.
func (w *writer) eol(c chunk) string {
	lines, i := w.ours, c.ours.from
	if c.ours.empty() && i > 0 {
		i--
	}
	if len(lines) == 0 {
		lines, i = w.theirs, 0
	}
	if i < len(lines) && bytes.HasSuffix(lines[i], []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// markerWidth returns 7, or more where a line of the file already starts with
// what would look like a marker of that width.
func markerWidth(versions ...[][]byte) int {
	width := 7
	for _, lines := range versions {
		for _, l := range lines {
			if len(l) < 7 || !strings.ContainsRune("<|=>", rune(l[0])) {
				continue
			}
			run := len(l) - len(bytes.TrimLeft(l, string(l[:1])))
			width = max(width, run+1)
		}
	}
	return width
}

// Package gomod writes the go.mod and go.sum of a generated service, offline
// and without the go command, byte for byte as `go mod tidy` would.
//
// It owns the [Universe]: every package that a template may import, with its
// import graph, the module graph behind it and the checksums, all at the
// versions of this module's own go.mod, which is the bill of materials. The
// universe is made ahead of time (package bill, run by go generate) and embedded.
//
// It must not know what a pattern is or which one was chosen: it sees only the
// files of a service and what they import.
package gomod

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Module is one version of a module in the graph of requirements. There are
// as many Modules of a path as versions are mentioned in the graph.
type Module struct {
	Path    string
	Version string

	// Loaded says that the go.mod of this version is read in the graph of the
	// whole universe. Go, Requires and GoModSum are set only then.
	Loaded bool
	// Go is the go line of its go.mod, or "" if it has none.
	Go string
	// Requires are indexes in Universe.Modules.
	Requires []int32

	// GoModSum and ZipSum are hashes as they stand in go.sum ("h1:…"). ZipSum
	// is empty where no selection can need it.
	GoModSum string
	ZipSum   string
}

// A Package is a package outside the standard library.
type Package struct {
	Path string
	// Module is the index of the module that provides it, at the version of
	// the bill of materials.
	Module int32
	// Imports and TestImports are indexes in Universe.Packages, by the rule of
	// [FileImports]. The tests are recorded only of packages that a template
	// can reach without going through a dependency's test.
	Imports, TestImports []int32
	// Also are the modules that contain a package of the same path, which
	// makes the import ambiguous when they are selected too.
	Also []int32
}

// A Universe is all that templates can import. It is read-only once built and
// safe for concurrent use.
type Universe struct {
	// Go is the go line of the bill of materials.
	Go string
	// Std are the packages of the standard library, sorted.
	Std []string
	// Modules is sorted by path, then by semantic version.
	Modules []Module
	// Packages is sorted by path.
	Packages []Package
}

// Package returns the index of the package of this import path.
func (u *Universe) Package(path string) (int32, bool) {
	i, ok := slices.BinarySearchFunc(u.Packages, path, func(p Package, path string) int {
		return strings.Compare(p.Path, path)
	})
	return int32(i), ok //nolint:gosec // an index of a slice that Decode bounds
}

// IsStd reports whether path is a package of the standard library. "C" counts
// as one: no module provides it.
func (u *Universe) IsStd(path string) bool {
	if path == "C" {
		return true
	}
	_, ok := slices.BinarySearch(u.Std, path)
	return ok
}

// The text form has one section after another, each opened by its name and the
// number of its lines. Fields are separated by one space, lists of indexes by
// commas; "-" stands for nothing.
//
//	go 1.26.0
//	std 2
//	bufio
//	bytes
//	modules 2
//	example.com/a v1.0.0 1.21 h1:… h1:… 1
//	example.com/b v1.0.0
//	packages 1
//	example.com/a 0 - - -
const header = "scaffold universe 1\n"

// Encode returns the text form of u, which [Decode] reads. Equal universes have
// equal text.
func (u *Universe) Encode() []byte {
	var b bytes.Buffer
	b.WriteString(header)
	fmt.Fprintf(&b, "go %s\n", u.Go)
	fmt.Fprintf(&b, "std %d\n", len(u.Std))
	for _, p := range u.Std {
		fmt.Fprintln(&b, p)
	}
	fmt.Fprintf(&b, "modules %d\n", len(u.Modules))
	for _, m := range u.Modules {
		fmt.Fprintf(&b, "%s %s", m.Path, m.Version)
		if m.Loaded || m.ZipSum != "" {
			fmt.Fprintf(&b, " %s %s %s %s", orDash(m.Go), orDash(m.GoModSum), orDash(m.ZipSum), indexes(m.Requires))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "packages %d\n", len(u.Packages))
	for _, p := range u.Packages {
		fmt.Fprintf(&b, "%s %d %s %s %s\n", p.Path, p.Module, indexes(p.Imports), indexes(p.TestImports), indexes(p.Also))
	}
	return b.Bytes()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func indexes(list []int32) string {
	if len(list) == 0 {
		return "-"
	}
	var b strings.Builder
	for i, n := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(n)))
	}
	return b.String()
}

// Decode reads the text form of a universe. An error means that the text is not
// what Encode writes.
func Decode(text string) (*Universe, error) {
	rest, ok := strings.CutPrefix(text, header)
	if !ok {
		return nil, errors.New("universe: not a universe of this version: run go generate ./internal/gomod")
	}
	d := decoder{rest: rest, ints: make([]int32, 0, len(text)/24)}
	u := &Universe{}
	if u.Go, ok = strings.CutPrefix(d.line(), "go "); !ok {
		return nil, errors.New("universe: no go line")
	}
	u.Std = make([]string, d.section("std"))
	for i := range u.Std {
		u.Std[i] = d.line()
	}
	u.Modules = make([]Module, d.section("modules"))
	for i := range u.Modules {
		d.module(&u.Modules[i])
	}
	u.Packages = make([]Package, d.section("packages"))
	for i := range u.Packages {
		d.pkg(&u.Packages[i])
	}
	if d.err == nil && d.rest != "" {
		d.err = errors.New("text after the end")
	}
	if d.err == nil {
		d.err = u.check()
	}
	if d.err != nil {
		return nil, fmt.Errorf("universe: %w", d.err)
	}
	return u, nil
}

// check rejects an index that points nowhere, so that nothing past Decode has
// to look.
func (u *Universe) check() error {
	within := func(n int, lists ...[]int32) bool {
		for _, list := range lists {
			for _, i := range list {
				if i < 0 || int(i) >= n {
					return false
				}
			}
		}
		return true
	}
	for i := range u.Modules {
		if m := &u.Modules[i]; !within(len(u.Modules), m.Requires) {
			return fmt.Errorf("%s@%s: an index out of range", m.Path, m.Version)
		}
	}
	for i := range u.Packages {
		p := &u.Packages[i]
		if p.Module < 0 || int(p.Module) >= len(u.Modules) ||
			!within(len(u.Packages), p.Imports, p.TestImports) || !within(len(u.Modules), p.Also) {
			return fmt.Errorf("%s: an index out of range", p.Path)
		}
	}
	return nil
}

// decoder cuts the text into fields that share its memory; the first error
// stays and empties the rest.
type decoder struct {
	rest string
	ints []int32
	err  error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = errors.New(what)
	}
	d.rest = ""
}

func (d *decoder) line() string {
	line, rest, ok := strings.Cut(d.rest, "\n")
	if !ok {
		d.fail("the text ends too early")
		return ""
	}
	d.rest = rest
	return line
}

// section reads a section's first line and returns the number of its lines.
func (d *decoder) section(name string) int {
	line := d.line()
	count, ok := strings.CutPrefix(line, name+" ")
	n, err := strconv.Atoi(count)
	if !ok || err != nil || n < 0 || n > len(d.rest) {
		d.fail("no section " + name)
		return 0
	}
	return n
}

func (d *decoder) module(m *Module) {
	line := d.line()
	var rest string
	m.Path, rest, _ = strings.Cut(line, " ")
	var more bool
	m.Version, rest, more = strings.Cut(rest, " ")
	if m.Path == "" || m.Version == "" {
		d.fail(fmt.Sprintf("%q: not a module", line))
		return
	}
	if !more {
		return
	}
	m.Go, rest = field(rest)
	m.GoModSum, rest = field(rest)
	m.ZipSum, rest = field(rest)
	m.Loaded = m.GoModSum != ""
	m.Requires = d.list(rest)
}

func (d *decoder) pkg(p *Package) {
	line := d.line()
	var f [4]string
	rest := line
	p.Path, rest, _ = strings.Cut(rest, " ")
	for i := range f {
		f[i], rest, _ = strings.Cut(rest, " ")
	}
	m, err := strconv.ParseInt(f[0], 10, 32)
	if err != nil {
		d.fail(fmt.Sprintf("%q: not a package", line))
		return
	}
	p.Module = int32(m)
	p.Imports, p.TestImports, p.Also = d.list(f[1]), d.list(f[2]), d.list(f[3])
}

func field(s string) (value, rest string) {
	value, rest, _ = strings.Cut(s, " ")
	if value == "-" {
		value = ""
	}
	return value, rest
}

// list parses indexes into the shared slice, so that decoding allocates a few
// times and not once a line.
func (d *decoder) list(s string) []int32 {
	if s == "-" {
		return nil
	}
	start := len(d.ints)
	n := int32(-1)
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9' && n < 1<<24:
			n = max(n, 0)*10 + int32(c-'0')
		case c == ',' && n >= 0:
			d.ints = append(d.ints, n)
			n = -1
		default:
			d.fail(fmt.Sprintf("%q: not a list of indexes", s))
			return nil
		}
	}
	if n < 0 {
		d.fail(fmt.Sprintf("%q: not a list of indexes", s))
		return nil
	}
	d.ints = append(d.ints, n)
	return d.ints[start:len(d.ints):len(d.ints)]
}

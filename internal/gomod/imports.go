package gomod

import (
	"bytes"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"unicode"
)

// FileImports returns the import paths of a Go file, and whether the file
// counts at all, by the rule of `go mod tidy`: each build tag but "ignore" is
// taken to be both true and false, so that the answer holds for every platform
// and every set of tags. (cmd/go/internal/imports, AnyTags. The suffixes
// _GOOS and _GOARCH of a file's name don't matter under it.)
//
// Of a file with a syntax error, the imports that could be read are returned
// with the error.
func FileImports(name string, src []byte) (paths []string, counts bool, err error) {
	if !builds(src) {
		return nil, false, nil
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
	if f == nil {
		return nil, true, err
	}
	for _, spec := range f.Imports {
		path, uerr := strconv.Unquote(spec.Path.Value)
		if uerr != nil || isPseudo(path) {
			continue
		}
		paths = append(paths, path)
	}
	return paths, true, err
}

// isPseudo reports whether tidy overlooks an import of path: cgo's, and those
// of the first App Engine.
func isPseudo(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return path == "C" || first == "appengine" || first == "appengine_internal"
}

// builds reports whether src has no build constraint that excludes it whatever
// the tags are. It reads the leading comments as cmd/go does: one //go:build
// line decides; without it, // +build lines that a blank line follows.
func builds(src []byte) bool {
	head, goBuild, ok := leadingComments(src)
	if !ok {
		return false
	}
	if goBuild != "" {
		x, err := constraint.Parse(goBuild)
		return err == nil && satisfiable(x, true)
	}
	if !bytes.Contains(head, []byte("+build")) {
		return true
	}
	for line := range bytes.SplitSeq(head, []byte("\n")) {
		text := string(bytes.TrimSpace(line))
		if !constraint.IsPlusBuild(text) {
			continue
		}
		if x, err := constraint.Parse(text); err == nil && !satisfiable(x, true) {
			return false
		}
	}
	return true
}

// satisfiable evaluates x with every tag but "ignore" being whatever is wished.
func satisfiable(x constraint.Expr, wish bool) bool {
	switch x := x.(type) {
	case *constraint.TagExpr:
		return validTag(x.Tag) && x.Tag != "ignore" && wish
	case *constraint.NotExpr:
		return !satisfiable(x.X, !wish)
	case *constraint.AndExpr:
		return satisfiable(x.X, wish) && satisfiable(x.Y, wish)
	case *constraint.OrExpr:
		return satisfiable(x.X, wish) || satisfiable(x.Y, wish)
	}
	return false
}

func validTag(tag string) bool {
	for _, c := range tag {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && c != '_' && c != '.' {
			return false
		}
	}
	return tag != ""
}

// leadingComments returns what stands before the first blank line that comes
// last in the leading run of // comments, and the //go:build line before the
// package clause, if there is one. Two such lines are an error: ok is false.
func leadingComments(src []byte) (head []byte, goBuild string, ok bool) {
	end, ended, inBlock := 0, false, false
	for rest := src; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		line = bytes.TrimSpace(line)
		if len(line) == 0 && !ended {
			end = len(src) - len(rest)
			continue
		}
		if !bytes.HasPrefix(line, []byte("//")) {
			ended = true
		}
		if !inBlock && constraint.IsGoBuild(string(line)) {
			if goBuild != "" {
				return nil, "", false
			}
			goBuild = string(line)
		}
		var code bool
		if inBlock, code = skipComments(line, inBlock); code {
			break
		}
	}
	return src[:end], goBuild, true
}

// skipComments reports whether a line ends inside a block comment, and whether
// it has anything but comments.
func skipComments(line []byte, inBlock bool) (stillIn, code bool) {
	for len(line) > 0 {
		switch {
		case inBlock:
			_, after, found := bytes.Cut(line, []byte("*/"))
			if !found {
				return true, false
			}
			inBlock, line = false, bytes.TrimSpace(after)
		case bytes.HasPrefix(line, []byte("//")):
			return false, false
		case bytes.HasPrefix(line, []byte("/*")):
			inBlock, line = true, bytes.TrimSpace(line[2:])
		default:
			return false, true
		}
	}
	return inBlock, false
}

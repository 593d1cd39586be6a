package typecheck

import (
	"bytes"
	"fmt"
	"go/build"
	"go/build/constraint"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// mostTags bounds how many runs the tags of an owner's files make.
const mostTags = 4

// Tags returns the lists of build tags, joined by commas, without which [Check] does
// not see all of the Go files, and those that it sees with none of these, each with
// why: they are of another system, or of a build that is not one of tags alone.
func Tags(files map[string][]byte) (tags, unseen []string) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		seen := func(tags string) bool { return builds(name, files[name], tags) }
		if strings.ContainsAny(path.Base(name)[:1], "_.") || seen("") || slices.ContainsFunc(tags, seen) {
			continue
		}
		line, said := spoken(files[name])
		if own := strings.Join(said, ","); len(tags) < mostTags && own != "" && seen(own) {
			tags = append(tags, own)
			continue
		}
		why := "its name"
		if line != "" {
			why = "build constraint " + line
		}
		unseen = append(unseen, fmt.Sprintf("%s (%s)", name, why))
	}
	return tags, unseen
}

// header is the line of a Go file that has its build constraint.
var header = regexp.MustCompile(`(?m)^//go:build .*$`)

// spoken returns a file's build constraint, and the tags that it asks for and that
// can be chosen.
func spoken(src []byte) (line string, tags []string) {
	line = strings.TrimSpace(string(header.Find(src)))
	expr, err := constraint.Parse(line)
	if err != nil {
		return "", nil
	}
	var walk func(x constraint.Expr, wanted bool)
	walk = func(x constraint.Expr, wanted bool) {
		switch x := x.(type) {
		case *constraint.NotExpr:
			walk(x.X, !wanted)
		case *constraint.AndExpr:
			walk(x.X, wanted)
			walk(x.Y, wanted)
		case *constraint.OrExpr:
			walk(x.X, wanted)
			walk(x.Y, wanted)
		case *constraint.TagExpr:
			if wanted && free(x.Tag) && !slices.Contains(tags, x.Tag) {
				tags = append(tags, x.Tag)
			}
		}
	}
	walk(expr, true)
	return expr.String(), tags
}

// fixed are tags that the go command sets by other flags, and those of files that are
// never built with the package they stand beside.
var fixed = []string{
	"unix", "cgo", "gc", "gccgo", "race", "msan", "asan", "boringcrypto", "ignore", "tools",
}

// free reports whether a tag means nothing but what its owner means by it.
func free(tag string) bool {
	if slices.Contains(fixed, tag) || strings.HasPrefix(tag, "go1.") || strings.HasPrefix(tag, "goexperiment.") {
		return false
	}
	// Of the systems there are, the standard library knows by a file's name alone.
	nowhere := build.Context{GOOS: "none", GOARCH: "none", OpenFile: opens(nil)}
	ok, err := nowhere.MatchFile("", "x_"+strings.ReplaceAll(tag, "_", "")+".go")
	return ok || err != nil
}

// builds reports whether the go command takes a file for its package with the tags.
func builds(name string, src []byte, tags string) bool {
	here := build.Default
	here.OpenFile = opens(src)
	here.BuildTags = strings.Split(tags, ",")
	ok, err := here.MatchFile("", path.Base(name))
	return ok || err != nil // what is no Go the go command tells
}

func opens(src []byte) func(string) (io.ReadCloser, error) {
	if src == nil {
		src = []byte("package x\n")
	}
	return func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(src)), nil }
}

// speaks reports whether a file that stands or comes in one of dirs has a build
// constraint with one of the tags.
func speaks(root string, dirs []string, after map[string]*tree.File, tags string) bool {
	one := regexp.MustCompile(`\b(?:` + strings.ReplaceAll(regexp.QuoteMeta(tags), ",", "|") + `)\b`)
	for _, dir := range dirs {
		for _, src := range sources(root, dir, after) {
			if one.Match(header.Find(src)) {
				return true
			}
		}
	}
	return false
}

// built are the folders of which the go command builds anything with the tags: it
// takes another for an error.
func built(root string, dirs []string, after map[string]*tree.File, tags string) []string {
	return slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool {
		for name, src := range sources(root, dir, after) {
			if builds(name, src, tags) {
				return false
			}
		}
		return true
	})
}

// sources are the Go files that are to stand in a folder, by their names. What can't
// be read the go command tells.
func sources(root, dir string, after map[string]*tree.File) map[string][]byte {
	files := make(map[string][]byte)
	at := filepath.Join(root, filepath.FromSlash(dir))
	entries, _ := os.ReadDir(at)
	for _, e := range entries {
		if path.Ext(e.Name()) == ".go" {
			files[e.Name()], _ = os.ReadFile(filepath.Join(at, e.Name())) //nolint:gosec // a file of the repository
		}
	}
	for name, f := range after {
		switch {
		case path.Dir(name) != dir || path.Ext(name) != ".go":
		case f == nil:
			delete(files, path.Base(name))
		default:
			files[path.Base(name)] = f.Data
		}
	}
	return files
}

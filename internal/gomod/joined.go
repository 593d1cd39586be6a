package gomod

import (
	"go/version"
	"regexp"
	"strings"

	"golang.org/x/mod/modfile"
)

// once are the lines that a go.mod has once, and a record of one twice where git joined
// what two branches were updated to.
var once = regexp.MustCompile(`(?m)^(go|toolchain)[ \t]+(\S+).*\n?`)

// Joined returns a go.mod of which git may have joined the lines of two as one that
// parses: of their go and toolchain lines the higher. What does not parse even so says
// nothing.
func Joined(data []byte) []byte {
	if parses(data) {
		return data
	}
	highest := make(map[string]string) // by keyword
	for _, line := range once.FindAllSubmatch(data, -1) {
		if what, v := string(line[1]), versionOf(line); version.Compare(v, highest[what]) > 0 {
			highest[what] = v
		}
	}
	joined := once.ReplaceAllFunc(data, func(line []byte) []byte {
		found := once.FindSubmatch(line)
		if what := string(found[1]); versionOf(found) == highest[what] {
			delete(highest, what) // only once
			return line
		}
		return nil
	})
	if !parses(joined) {
		return nil
	}
	return joined
}

// versionOf is the version of a line that once found, as go/version has it.
func versionOf(found [][]byte) string { return "go" + strings.TrimPrefix(string(found[2]), "go") }

func parses(data []byte) bool {
	_, err := modfile.Parse("go.mod", data, nil)
	return err == nil
}

package cli

import (
	"regexp"
	"slices"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// A service's name is a directory below cmd, a binary, a container and a label
// in DNS: what all of them take.
var nameForm = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)

const nameLength = 63 // of a DNS label (RFC 1035, section 2.3.4)

// unfit are directory names that the go command does not look into.
var unfit = []string{"testdata", "vendor"}

func checkName(name string, c *catalog.Catalog) error {
	if !nameForm.MatchString(name) || len(name) > nameLength {
		hint := ""
		if s := slug(name); s != "" && s != name {
			hint = ", as in " + s
		}
		return usagef("%q: can't be a service's name; use up to %d lower-case letters, digits and hyphens, a letter first%s", name, nameLength, hint)
	}
	if slices.Contains(unfit, name) {
		return usagef("%q: can't be a service's name: the go command passes over directories of that name; choose another", name)
	}
	if err := tree.CheckPath(name); err != nil {
		return usagef("%w; choose another name", err)
	}
	for _, p := range c.Patterns {
		for _, e := range p.Engines {
			if e.Name == name {
				return usagef("%q: can't be a service's name: compose.yaml has a server of that name; choose another", name)
			}
		}
	}
	return nil
}

// slug makes a name of what was perhaps meant as one.
func slug(name string) string {
	words := regexp.MustCompile(`[a-z0-9]+`).FindAllString(strings.ToLower(name), -1)
	s := strings.TrimLeft(strings.Join(words, "-"), "-0123456789")
	return strings.TrimRight(s[:min(len(s), nameLength)], "-")
}

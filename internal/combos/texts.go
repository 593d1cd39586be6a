package combos

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// links are the links of a Markdown page.
var links = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// texts reports YAML that does not parse, and pages that link to a file which is
// not there.
func texts(files tree.Tree) error {
	var errs []error
	for _, name := range files.Paths() {
		data := files[name].Data
		switch path.Ext(name) {
		case ".yml", ".yaml":
			if err := yaml.Unmarshal(data, new(yaml.Node)); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		case ".md":
			for _, m := range links.FindAllSubmatch(data, -1) {
				to, _, _ := strings.Cut(string(m[1]), "#")
				if to == "" || strings.Contains(to, ":") {
					continue // a heading of its own, or elsewhere
				}
				if !stands(files, path.Join(path.Dir(name), to)) {
					errs = append(errs, fmt.Errorf("%s: links to %s, which is not there", name, m[1]))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// stands reports whether a file or a folder is there.
func stands(files tree.Tree, name string) bool {
	for p := range files {
		if p == name || strings.HasPrefix(p, name+"/") {
			return true
		}
	}
	return false
}

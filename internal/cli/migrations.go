package cli

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/seed-d146d9dc/scaffold/internal/plan"
)

// checkMigrations reports a migration of the owner's that has the number of one that
// is to come: the service would not start with both.
func (d *draft) checkMigrations() error {
	entries, err := os.ReadDir(filepath.Join(d.root, "migrations"))
	if err != nil {
		return nil // there are none
	}
	number := func(name string) string { // with the database that it is for
		stem, isSQL := strings.CutSuffix(name, ".sql")
		digits, rest, ok := strings.Cut(stem, "_")
		if !isSQL || !ok {
			return ""
		}
		return strings.TrimLeft(digits, "0") + rest[strings.LastIndexByte(rest, '_')+1:]
	}
	for _, step := range d.plan.Steps {
		if step.Action != plan.Create || path.Dir(step.Path) != "migrations" || number(path.Base(step.Path)) == "" {
			continue
		}
		for _, e := range entries {
			if _, written := d.base["migrations/"+e.Name()]; !written && number(e.Name()) == number(path.Base(step.Path)) {
				return fmt.Errorf("migrations/%s: has the number of %s, which is to come: give yours another one, from 10000 up", e.Name(), step.Path)
			}
		}
	}
	return nil
}

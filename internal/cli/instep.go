package cli

import (
	"fmt"

	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/record"
	"github.com/seed-d146d9dc/scaffold/internal/render"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// inStep reports a service for which scaffold.yaml, edited by hand, no longer says
// all that was last written: a command that adds or removes something else would
// delete or rename that in passing. The templates of another version may have
// less, too, and to apply them is the same step.
func inStep(c *catalog.Catalog, s *service, says catalog.Selection) error {
	files, err := render.Paths(c, says)
	if err != nil {
		return err
	}
	for _, p := range s.base.Paths() {
		if !files[p] && s.manifest.Packs[builtin] != version {
			return usagef("%s is what scaffold %s wrote, and this is %s: run `scaffold update` first (it takes out or renames %s)", s.manifest.Name, s.manifest.Packs[builtin], version, p)
		}
		if !files[p] {
			return usagef("%s was edited: run `scaffold apply` first (it takes out or renames %s)", record.ManifestFile, p)
		}
	}
	if was := gomod.ModuleOf(s.base[goMod].Data); was != "" && was != says.Module {
		return usagef("%s was edited: run `scaffold apply` first (it renames module %s to %s)", record.ManifestFile, was, says.Module)
	}
	return nil
}

const goMod = "go.mod"

// checkModule reports a go.mod that is broken, or whose module was renamed and
// is still the old one in scaffold.yaml: what is written would import that. The
// other way round it is a new name that is yet to be written.
func checkModule(s *service, want record.Manifest, work tree.Tree) error {
	mod, ok := work[goMod]
	if !ok {
		return nil
	}
	stands, err := gomod.ModulePath(goMod, mod.Data)
	if err != nil || stands == want.Module {
		return err
	}
	if gomod.ModuleOf(s.base[goMod].Data) == stands {
		return nil
	}
	return fmt.Errorf("%s: is of module %s, and %s says %s: set `module: %s` in %s, then run `scaffold apply`",
		goMod, stands, record.ManifestFile, want.Module, stands, record.ManifestFile)
}

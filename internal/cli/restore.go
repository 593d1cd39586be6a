package cli

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/plan"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
	"github.com/seed-d146d9dc/scaffold/internal/worktree"
)

type restoreOptions struct {
	changeOptions
	paths []string
}

func newRestore(a *app, runF func(context.Context, *restoreOptions) error) *cobra.Command {
	o := new(restoreOptions)
	cmd := &cobra.Command{
		Use:   "restore PATH...",
		Short: "Bring back files that you deleted",
		Long: `Bring back files of the service's that you deleted, as scaffold last wrote them. The
path of a folder brings back all that is missing in it. Paths are those of this folder,
or as ` + "`scaffold check`" + ` lists them. Files that are there stay as they are.`,
		Example: `  scaffold restore Dockerfile
  scaffold restore docs/patterns --dry-run`,
		GroupID: groupChange,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.paths = args
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			doc := &document{Command: "restore"}
			return a.close(doc, &o.changeOptions, runRestore(cmd.Context(), a, o, doc))
		},
		ValidArgsFunction: a.deletedFiles,
	}
	o.flags(cmd)
	o.serviceFlags(cmd)
	return cmd
}

func runRestore(ctx context.Context, a *app, o *restoreOptions, doc *document) error {
	if len(o.paths) == 0 {
		return usagef("which files? Say `scaffold restore PATH...` (see `scaffold check`)")
	}
	_, s, selection, err := a.begin(ctx, &o.changeOptions, nil)
	if err != nil {
		return err
	}
	work, err := worktree.Read(s.root, s.base.Paths(), s.base)
	if err != nil {
		return err
	}
	back, err := missing(s, work, o.paths)
	if err != nil {
		return err
	}
	rest := maps.Clone(s.base)
	for _, p := range back {
		delete(rest, p)
	}
	d := &draft{
		service: s, want: s.manifest, selection: selection, next: s.base,
		plan: plan.Make(rest, s.base, work),
	}
	// Of the rest, nothing is asked.
	d.plan.Steps = slices.DeleteFunc(d.plan.Steps, func(step plan.Step) bool { return !slices.Contains(back, step.Path) })
	title := fmt.Sprintf("%s: bringing back %s", s.manifest.Name, count(len(back), "file"))
	if d, err = a.carryOut(ctx, d, &o.changeOptions, doc, title); err == nil && d != nil && !o.json {
		a.printf("Done: %s.\n", tally(d.plan))
	}
	return err
}

// missing returns the files that the paths mean and that do not stand there. A path
// is relative to the working directory, or where nothing is known there by it, to
// the service: `scaffold check` lists them so.
func missing(s *service, work tree.Tree, paths []string) ([]string, error) {
	root, err := filepath.Abs(s.root)
	if err != nil {
		return nil, err
	}
	var back []string
	for _, given := range paths {
		abs, err := filepath.Abs(given)
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(root, abs)
		if err != nil {
			return nil, err
		}
		meant := filesAt(s.base, filepath.ToSlash(rel))
		if len(meant) == 0 {
			meant = filesAt(s.base, filepath.ToSlash(filepath.Clean(given)))
		}
		if len(meant) == 0 {
			return nil, usagef("%s: is nothing that scaffold wrote here (see `scaffold check`)", given)
		}
		for _, name := range meant {
			if _, ok := work[name]; !ok && !slices.Contains(back, name) {
				back = append(back, name)
			}
		}
	}
	return back, nil
}

// filesAt returns the path, if it is in the tree, or what is in the folder that it
// names there.
func filesAt(files tree.Tree, p string) []string {
	return slices.DeleteFunc(files.Paths(), func(name string) bool {
		return p != "." && name != p && !strings.HasPrefix(name, p+"/")
	})
}

// deletedFiles completes the paths of files that the owner deleted.
func (a *app) deletedFiles(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	s, err := a.open(cmd.Context(), cmd.Flag("dir").Value.String())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	work, err := worktree.Read(s.root, s.base.Paths(), s.base)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	back, err := missing(s, work, []string{s.root})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	for i, p := range back {
		back[i] = shown(filepath.Join(s.root, filepath.FromSlash(p)))
	}
	back = slices.DeleteFunc(back, func(p string) bool { return slices.Contains(args, p) })
	return withPrefix(back, typed), cobra.ShellCompDirectiveNoFileComp
}

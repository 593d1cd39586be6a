package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-d146d9dc/scaffold/internal/ask"
	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/record"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

type newOptions struct {
	changeOptions
	name   string
	module string
	with   []string
	set    []string
	noGit  bool
}

// none is what --with says for a service without patterns.
const none = "none"

func newNew(a *app, runF func(context.Context, *newOptions) error) *cobra.Command {
	o := new(newOptions)
	cmd := &cobra.Command{
		Use:   "new [NAME]",
		Short: "Make a new service",
		Long: `Make a new service in a folder of its name.

At a terminal, new asks for what no flag says, shows what it will write, and
asks before it does. Without a terminal, or with --yes or --json, --with has to
say which patterns; everything else has a default.

NAME is the service's name: the folder, the command below cmd/, the container.
It takes lower-case letters, digits and hyphens.`,
		Example: `  scaffold new orders
  scaffold new orders --module acme.com/orders --with sse,pubsub --yes
  scaffold new orders --with jobstatus --set database=postgres --dry-run
  scaffold new orders --with none --yes`,
		GroupID:           groupChange,
		Args:              atMostOne("the service's name"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.name = args[0]
			}
			for _, name := range []string{"module", "dir"} {
				if f := cmd.Flag(name); f.Changed && f.Value.String() == "" {
					return usagef("--%s: is empty; leave it out for its default", name)
				}
			}
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			doc := &document{Command: "new"}
			return a.close(doc, &o.changeOptions, runNew(cmd.Context(), a, o, doc))
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.module, "module", "m", "", "path of the Go module (default example.com/NAME)")
	f.StringSliceVarP(&o.with, "with", "w", nil, "patterns, comma-separated, or none")
	f.StringSliceVarP(&o.set, "set", "s", nil, "option=value, comma-separated")
	f.StringVarP(&o.dir, "dir", "d", "", "folder of the service, which must be empty or not exist (default NAME)")
	f.BoolVar(&o.noGit, "no-git", false, "don't make the folder a git repository")
	o.requiresFlag(cmd)
	o.flags(cmd)
	register(cmd, "module", cobra.NoFileCompletions)
	completePatterns(a, cmd, "with")
	register(cmd, "set", a.optionPairs)
	completeFolders(cmd, "dir")
	return cmd
}

func runNew(ctx context.Context, a *app, o *newOptions, doc *document) error {
	decode()
	c, err := a.catalog()
	if err != nil {
		return err
	}
	want, err := o.want(c)
	if err != nil {
		return err
	}
	terminal := a.terminalFor(ctx, &o.changeOptions)
	if o.with == nil && terminal == nil {
		return usagef("which patterns? Nothing can be asked here: say --with NAMES (see `scaffold list`), or --with none")
	}
	if o.name == "" {
		if terminal == nil {
			return usagef("which name? Nothing can be asked here: say `scaffold new NAME`")
		}
		if want.Name, err = terminal.Text("Name of the service:", o.proposedName(c), nameHelp, func(s string) error { return checkName(s, c) }); err != nil {
			return err
		}
	}
	if err := checkName(want.Name, c); err != nil {
		return err
	}
	root := o.dir
	if root == "" {
		root = want.Name
	}
	root = filepath.Clean(root)
	if info, err := os.Stat(root); err == nil && !info.IsDir() {
		return usagef("%s: is a file where the service's folder should come; choose another --dir", root)
	}
	if err := a.recover(ctx, root); err != nil {
		return err
	}
	if err := checkEmpty(root); err != nil {
		return err
	}
	if terminal != nil {
		if err := o.ask(terminal, c, &want); err != nil {
			return err
		}
	}
	if want.Module == "" {
		want.Module = "example.com/" + want.Name
	}
	d, err := a.change(ctx, &service{root: root, base: tree.Tree{}}, want, &o.changeOptions, doc, newTitle(root, want))
	if err != nil || d == nil {
		return err
	}
	if !o.noGit {
		a.initGit(ctx, root)
	}
	a.noteWorkspace(root)
	if !o.json {
		a.printNew(ctx, c, d, o)
	}
	return nil
}

// want is what the flags say of the service.
func (o *newOptions) want(c *catalog.Catalog) (record.Manifest, error) {
	if o.with != nil {
		o.with = splitNames(o.with)
	}
	want := record.Manifest{Name: o.name, Module: o.module, Patterns: o.with}
	switch {
	case slices.Equal(o.with, []string{none}):
		want.Patterns = nil
	case slices.Contains(o.with, none):
		return want, usagef("--with=%s: none and patterns exclude each other", strings.Join(o.with, ","))
	case o.with != nil && len(o.with) == 0:
		return want, usagef("--with: is empty; say which patterns (see `scaffold list`), or none")
	}
	if o.module != "" {
		if err := gomod.CheckModulePath(o.module); err != nil {
			return want, &usageError{err}
		}
	}
	var err error
	if want.Options, err = settings(splitNames(o.set)); err != nil {
		return want, err
	}
	// What is wrong with the flags is said before anything is asked.
	if o.with != nil {
		_, added, err := c.Resolve(want.Patterns, want.Options)
		if err != nil {
			return want, &usageError{err}
		}
		return want, o.named(added)
	}
	return want, nil
}

// settings reads option=value.
func settings(pairs []string) (map[string]string, error) {
	set := make(map[string]string)
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" || value == "" {
			return nil, usagef("--set=%s: has no value; say option=value, as in database=postgres", pair)
		}
		if old, ok := set[name]; ok && old != value {
			return nil, usagef("--set: says both %s=%s and %s=%s; leave one of them out", name, old, name, value)
		}
		set[name] = value
	}
	return set, nil
}

// checkEmpty reports whether a service can't be made in dir because something is
// there. An empty repository of git is nothing.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == ".git" })
	isManifest := func(e fs.DirEntry) bool { return e.Name() == record.ManifestFile }
	switch {
	case slices.ContainsFunc(entries, isManifest):
		return usagef("%s: is a service that scaffold made; change it with `scaffold add`, or choose another --dir", dir)
	case len(entries) > 0:
		return usagef("%s: is not empty (it has %s); choose another --dir", dir, entries[0].Name())
	}
	return nil
}

const nameHelp = "Lower-case letters, digits and hyphens: it names the folder, the command and the container."

func (o *newOptions) proposedName(c *catalog.Catalog) string {
	if abs, err := filepath.Abs(o.dir); o.dir != "" && err == nil {
		if s := slug(filepath.Base(abs)); checkName(s, c) == nil {
			return s
		}
	}
	return "myservice"
}

// ask puts the questions that no flag has answered.
func (o *newOptions) ask(terminal *ask.Terminal, c *catalog.Catalog, want *record.Manifest) (err error) {
	if want.Module == "" {
		help := "Where the module will be found, as in github.com/you/" + want.Name + "; example.com/ is for what is not published."
		if want.Module, err = terminal.Text("Path of the Go module:", "example.com/"+want.Name, help, gomod.CheckModulePath); err != nil {
			return err
		}
	}
	if o.with == nil {
		if want.Patterns, err = terminal.Patterns("Patterns:", c, offered(c, catalog.Selection{})); err != nil {
			return err
		}
	}
	return askOptions(terminal, c, want, catalog.Selection{})
}

// offered are the patterns that a user is asked for: not those of before, and
// not those that only other patterns stand on.
func offered(c *catalog.Catalog, before catalog.Selection) []*catalog.Pattern {
	return slices.DeleteFunc(slices.Clone(c.Patterns), func(p *catalog.Pattern) bool {
		return p.Family == catalog.Foundation || before.Has(p.Name)
	})
}

// askOptions asks for the options that the wanted patterns have, that nothing
// said yet, and that were not chosen before.
func askOptions(terminal *ask.Terminal, c *catalog.Catalog, want *record.Manifest, before catalog.Selection) error {
	s, added, err := c.Resolve(want.Patterns, nil)
	if err != nil {
		return err
	}
	for _, o := range c.Options {
		_, said := want.Options[o.Name]
		if !s.Has(o.Pattern) || said || before.Has(o.Pattern) {
			continue
		}
		question := o.Title + ":"
		for _, x := range added {
			if x.Pattern == o.Pattern {
				question = fmt.Sprintf("%s (%s needs one):", o.Title, x.By)
			}
		}
		var choices []ask.Choice
		for _, v := range o.Values {
			choices = append(choices, ask.Choice{Name: v.Name, Summary: v.Summary})
		}
		value, err := terminal.One(question, o.Default, choices)
		if err != nil {
			return err
		}
		if want.Options == nil {
			want.Options = make(map[string]string)
		}
		want.Options[o.Name] = value
	}
	return nil
}

func newTitle(root string, want record.Manifest) string {
	title := fmt.Sprintf("%s, a service of module %s, in %s", want.Name, want.Module, root)
	if len(want.Patterns) == 0 {
		return title + "\n  patterns  none"
	}
	return title + "\n  patterns  " + strings.Join(want.Patterns, ", ")
}

// printNew says what to do next.
func (a *app) printNew(ctx context.Context, c *catalog.Catalog, d *draft, o *newOptions) {
	a.printf("Made %s in %s: %s.\n\nNext:\n", d.want.Name, d.root, count(len(d.next), "file"))
	if d.root != "." {
		a.printf("  cd %s\n", shellWord(d.root))
	}
	a.printEngines(c, d.selection)
	a.printf("  go run ./cmd/%s    # then see http://localhost:8080/readyz\n", d.want.Name)
	a.printf("  make test\n\n")
	a.printf("README.md says what it answers and how it is set. `scaffold add` adds more.\n")
	if o.module == "" && a.terminalFor(ctx, &o.changeOptions) == nil {
		a.printf("Its module is %s: --module chooses another.\n", d.want.Module)
	}
}

// plain matches what a shell takes as one word, as it is.
var plain = regexp.MustCompile(`^[\pL\pN@%+=:,./_-]+$`)

// shellWord writes a path so that a shell takes it for one word.
func shellWord(path string) string {
	quoted := path
	if !plain.MatchString(path) {
		quoted = "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	if strings.HasPrefix(path, "-") {
		quoted = "-- " + quoted
	}
	return quoted
}

// printEngines says how to start the servers without which the service does not
// run, because an option chose them.
func (a *app) printEngines(c *catalog.Catalog, s catalog.Selection) {
	for _, name := range s.Patterns {
		p, _ := c.Pattern(name)
		for _, e := range p.Engines {
			option, value, _ := strings.Cut(e.Option, "=")
			if e.Option == "" || s.Options[option] != value || e.TestValue == "" {
				continue
			}
			a.printf("  docker compose up --wait %s    # or a server of your own\n", e.Name)
			a.printf("  export %s='%s'\n", e.Variable, e.TestValue)
		}
	}
}

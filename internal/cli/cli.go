// Package cli is the command line: one file a command, what is printed, and what
// the process exits with.
//
// It renders, merges and writes nothing itself. Every command that changes a
// service goes through the one function in change.go.
package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-d146d9dc/scaffold/internal/ask"
	"github.com/seed-d146d9dc/scaffold/internal/catalog"
	"github.com/seed-d146d9dc/scaffold/templates"
)

// Main runs the command that args name and returns the process's exit code.
// args are without the program's name. A person is asked only if stdin and one
// of the others are a terminal.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	// A run lives for milliseconds: collecting its garbage would take a fifth of
	// them, and there is not enough of it to be worth that.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(256 << 20)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return newApp(templates.FS, stdin, stdout, stderr, getenv).run(ctx, args)
}

// An app is what the commands share. It is for one run.
type app struct {
	in       io.Reader
	out, err io.Writer
	// printed is out with what went wrong while printing there.
	printed *printed
	// wrote is the root of the service that was written, if one was.
	wrote string
	// notes are what was told beside what the command prints.
	notes  []string
	getenv func(string) string
	// version is scaffold's own, and that of the pack which comes with it.
	version string
	// command is how scaffold was called, without its name.
	command string
	// catalog loads the catalog once: not every command needs it.
	catalog func() (*catalog.Catalog, error)
}

func newApp(templates fs.FS, in io.Reader, out, err io.Writer, getenv func(string) string) *app {
	return &app{
		in: in, out: out, err: err, printed: &printed{to: out}, getenv: getenv, version: version,
		catalog: sync.OnceValues(func() (*catalog.Catalog, error) { return catalog.Load(templates) }),
	}
}

func (a *app) run(ctx context.Context, args []string) int {
	a.command = strings.Join(args, " ")
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.printed)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.printed.document && asksJSON(args) {
		err = a.close(&document{Command: cmd.Name()}, &changeOptions{json: true}, err)
	}
	return a.report(errors.Join(err, a.notPrinted()))
}

// terminal returns where a person can be asked, or nil.
func (a *app) terminal(ctx context.Context) *ask.Terminal {
	return ask.Open(ctx, a.getenv("TERM"), a.in, a.out, a.err)
}

// The commands are in groups in the help.
const (
	groupChange = "change"
	groupLook   = "look"
)

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "scaffold",
		Short: "Make Go services out of patterns, and keep them in step with the patterns' templates",
		Long: `scaffold makes Go services out of patterns, and keeps them in step with the
patterns' templates: what you edit is merged, never overwritten.

  scaffold new orders        asks what the service needs, and makes it
  scaffold add dlq           adds a pattern to the service in this folder
  scaffold list              shows what there is
  scaffold explain dlq       says when a pattern is the right one

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 conflicts and nothing written,
4 check found drift, 130 interrupted.`,
		Version:       fullVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			cmd.SuggestionsMinimumDistance = 2
			return usagef("%s: no such command%s (see `scaffold --help`)", args[0], didYouMean(cmd.SuggestionsFor(args[0])))
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetFlagErrorFunc(flagError)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.AddGroup(
		&cobra.Group{ID: groupChange, Title: "Make and change a service:"},
		&cobra.Group{ID: groupLook, Title: "Look:"},
	)
	root.AddCommand(
		newNew(a, nil),
		newAdd(a, nil),
		newRemove(a, nil),
		newSet(a, nil),
		newApply(a, nil),
		newUpdate(a, nil),
		newRestore(a, nil),
		newUndo(a, nil),
		newDiff(a, nil),
		newCheck(a, nil),
		newList(a, nil),
		newExplain(a, nil),
		newVersion(a),
	)
	needShell(root)
	return root
}

// needShell makes it an error to ask for the completion of a shell that is not
// known: cobra prints its help.
func needShell(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	completion, _, err := root.Find([]string{"completion"})
	if err != nil || completion == root {
		return
	}
	completion.Args = cobra.ArbitraryArgs
	completion.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("completion of which shell? Say bash, zsh, fish or powershell")
		}
		return usagef("%s: no such shell; say bash, zsh, fish or powershell", args[0])
	}
}

// flagError makes a mistake in a flag an error that names the nearest one.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usagef("%s (see `%s --help`)", err, cmd.CommandPath())
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	near := catalog.Nearest(unknown.GetSpecifiedName(), names)
	for i, name := range near {
		near[i] = "--" + name
	}
	return usagef("%s%s (see `%s --help`)", err, didYouMean(near), cmd.CommandPath())
}

func didYouMean(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(names, " or ") + "?"
}

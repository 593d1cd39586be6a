package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// noArgs, atMostOne and exactlyOne check how many arguments there are.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s: %s takes no arguments (see `%s --help`)", args[0], cmd.CommandPath(), cmd.CommandPath())
	}
	return nil
}

func atMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("%s: %s takes one argument, %s (see `%s --help`)", args[1], cmd.CommandPath(), what, cmd.CommandPath())
		}
		return nil
	}
}

func exactlyOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s needs one argument, %s (see `%s --help`)", cmd.CommandPath(), what, cmd.CommandPath())
		}
		return atMostOne(what)(cmd, args)
	}
}

// register sets what completes a flag's value.
func register(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	// It fails if there is no such flag, or if it has one: the tests of the
	// completion would show it.
	_ = cmd.RegisterFlagCompletionFunc(flag, f)
}

// complete makes the values what completes the flag.
func complete(cmd *cobra.Command, flag string, values []string) {
	register(cmd, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

func completeFolders(cmd *cobra.Command, flag string) {
	register(cmd, flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	})
}

// completePatterns completes a comma-separated list of patterns.
func completePatterns(a *app, cmd *cobra.Command, flag string) {
	register(cmd, flag, func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		done, _, names := listed(typed)
		var out []string
		for _, name := range a.patternNames() {
			if !slices.Contains(names, strings.SplitN(name, "\t", 2)[0]) {
				out = append(out, done+name)
			}
		}
		if done == "" {
			out = append(out, none+"\tthe base service alone")
		}
		return withPrefix(out, typed), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
}

// listed splits what was typed of a comma-separated list: up to the last comma,
// behind it, and the names before it.
func listed(typed string) (done, last string, names []string) {
	i := strings.LastIndexByte(typed, ',') + 1
	return typed[:i], typed[i:], strings.Split(strings.TrimSuffix(typed[:i], ","), ",")
}

// optionPairs completes option=value, comma-separated.
func (a *app) optionPairs(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	c, err := a.catalog()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	done, _, names := listed(typed)
	names = append(names, args...)
	var out []string
	for _, o := range c.Options {
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, o.Name+"=") }) {
			continue
		}
		for _, v := range o.Values {
			out = append(out, done+o.Name+"="+v.Name+"\t"+v.Summary)
		}
	}
	return withPrefix(out, typed), cobra.ShellCompDirectiveNoFileComp
}

// patternArgs completes arguments that are patterns.
func (a *app) patternArgs(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	names := slices.DeleteFunc(a.patternNames(), func(name string) bool {
		return slices.Contains(args, strings.SplitN(name, "\t", 2)[0])
	})
	return withPrefix(names, typed), cobra.ShellCompDirectiveNoFileComp
}

// patternsThatAre completes arguments that are patterns which the service in this
// folder has, or which it has not; where there is no service, any pattern.
func (a *app) patternsThatAre(on bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		names, directive := a.patternArgs(cmd, args, typed)
		s, err := a.look(cmd.Context(), cmd.Flag("dir").Value.String())
		if err != nil || s == nil {
			return names, directive
		}
		c, err := a.catalog()
		if err != nil {
			return names, directive
		}
		has, _, err := c.Resolve(s.manifest.Patterns, nil)
		if err != nil {
			return names, directive
		}
		return slices.DeleteFunc(names, func(name string) bool {
			return has.Has(strings.SplitN(name, "\t", 2)[0]) != on
		}), directive
	}
}

// patternNames are the patterns' names, each with its summary behind a tab.
func (a *app) patternNames() []string {
	c, err := a.catalog()
	if err != nil {
		return nil
	}
	names := make([]string, len(c.Patterns))
	for i, p := range c.Patterns {
		names[i] = p.Name + "\t" + p.Summary
	}
	return names
}

func withPrefix(candidates []string, prefix string) []string {
	return slices.DeleteFunc(candidates, func(c string) bool { return !strings.HasPrefix(c, prefix) })
}

package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is scaffold's own, and that of the pack which comes with it.
const version = "v0.1.0"

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Print scaffold's version",
		GroupID:           groupLook,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			a.printf("scaffold %s\n", fullVersion())
			return nil
		},
	}
}

// fullVersion is the version with what this program was built with and from.
func fullVersion() string {
	commit := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = ", commit " + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return fmt.Sprintf("%s (%s%s)", version, runtime.Version(), commit)
}

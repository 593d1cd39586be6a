// Command gen makes the universe that package gomod embeds: all that
// templates/service imports, at the versions of this module's go.mod. It runs
// in internal/gomod, by go generate. Arguments are further import paths.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/gomod/bill"
)

const (
	root     = "../.." // of this module
	own      = "github.com/seed-d146d9dc/scaffold"
	services = root + "/templates/service"
	output   = "universe.txt.gz"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run writes the universe and tells on log where this module's go.mod must
// change for a service to have exactly its versions. It stops if
// what a service builds would need more than `go mod tidy`.
func run(ctx context.Context, more []string, log io.Writer) error {
	imports, err := bill.Imports(os.DirFS(services), own)
	if err != nil {
		return err
	}
	imports = append(imports, more...)
	slices.Sort(imports)
	u, changes, err := bill.Build(ctx, root, slices.Compact(imports))
	if err != nil {
		return err
	}
	raised := false
	for _, c := range changes {
		if _, err := fmt.Fprintln(log, c); err != nil {
			return err
		}
		raised = raised || !c.ByTidy && !c.TestOnly
	}
	if raised {
		return errors.New("go.mod is too low: raise it, test the templates with it, and run go generate again")
	}
	return write(u)
}

func write(u *gomod.Universe) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(u.Encode()); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(output, b.Bytes(), 0o644) //nolint:gosec // part of the source
}

// Command scaffold makes Go services out of patterns, and keeps them in step
// with the patterns' templates.
package main

import (
	"os"

	"github.com/seed-d146d9dc/scaffold/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// Command temporal runs a Temporal server on a free loopback port, with all that it
// keeps in memory, until its standard input ends. It prints the variables by which
// tests find it.
//
// It is a module of its own: no service, and not scaffold, needs the server's code.
package main

import (
	"fmt"
	"io"
	"os"

	"go.temporal.io/server/temporaltest"
)

func main() {
	server := temporaltest.NewServer()
	fmt.Println("TEST_TEMPORAL_ADDRESS=" + server.GetFrontendHostPort())
	fmt.Println("TEST_TEMPORAL_NAMESPACE=" + server.GetDefaultNamespace())
	_, _ = io.Copy(io.Discard, os.Stdin) // whichever way it ends
	server.Stop()
}

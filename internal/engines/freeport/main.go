// Command freeport prints as many free loopback ports as it is asked for.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "freeport:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: freeport COUNT")
	}
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for range count {
		// All stay open until the last is known, so that none is given twice.
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer func() { _ = l.Close() }() // nothing was written
		fmt.Println(l.Addr().(*net.TCPAddr).Port)
	}
	return nil
}

//go:build race

package main

// The race detector knows at most 8,128 goroutines, and takes its own memory.
const (
	sseManyClients    = 2_000
	sseMaxClientBytes = 1 << 20
)

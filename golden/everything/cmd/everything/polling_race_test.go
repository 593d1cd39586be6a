//go:build race

package main

// The race detector knows at most 8,128 goroutines, and takes its own memory.
const (
	pollingManyWaiters    = 2_000
	pollingMaxWaiterBytes = 1 << 20
)

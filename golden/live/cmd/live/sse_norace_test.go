//go:build !race

package main

const (
	sseManyClients    = 10_000
	sseMaxClientBytes = 64 << 10
)

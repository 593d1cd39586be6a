//go:build !race

package main

const (
	pollingManyWaiters    = 10_000
	pollingMaxWaiterBytes = 96 << 10
)

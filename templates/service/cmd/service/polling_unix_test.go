//go:build unix

package main

import (
	"syscall"
	"testing"
)

// pollingOpenFiles returns how many files a process may have open, at most: Go
// raises the limit that far by itself.
func pollingOpenFiles(t testing.TB) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return int(min(limit.Max, 1<<20)) //nolint:gosec // is at most 1<<20
}

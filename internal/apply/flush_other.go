//go:build !darwin

package apply

import "os"

func flush(f *os.File) error { return f.Sync() }

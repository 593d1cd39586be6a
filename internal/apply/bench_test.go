package apply

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// fill4K is n changes that add files of 4 KB in dirs directories.
func fill4K(n, dirs int) []Change {
	var changes []Change
	for i := range n {
		text := bytes.Repeat([]byte(fmt.Sprintf("%4d line\n", i)), 4096/10)
		changes = append(changes, Change{Path: fmt.Sprintf("d%d/sub/f%d.go", i%dirs, i), After: &tree.File{Data: text}})
	}
	return changes
}

// BenchmarkApplyNew writes a whole service into a directory that does not exist:
// 250 files of 4 KB in 40 directories.
func BenchmarkApplyNew(b *testing.B) {
	changes := fill4K(250, 20)
	top := b.TempDir()
	for i := 0; b.Loop(); i++ {
		if err := Apply(b.Context(), filepath.Join(top, fmt.Sprint(i)), changes); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApplyNewInPlace does the same in a directory that exists and is empty.
func BenchmarkApplyNewInPlace(b *testing.B) {
	changes := fill4K(250, 20)
	top := b.TempDir()
	for i := 0; b.Loop(); i++ {
		dir := filepath.Join(top, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		if err := Apply(b.Context(), dir, changes); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApplyAdd adds 20 files to a service of 250 and replaces 10.
func BenchmarkApplyAdd(b *testing.B) {
	base := fill4K(250, 20)
	dir := b.TempDir()
	if err := Apply(b.Context(), dir, base); err != nil {
		b.Fatal(err)
	}
	before := make([]*tree.File, 10)
	for i := range before {
		before[i] = base[i].After
	}
	for n := 0; b.Loop(); n++ {
		var changes []Change
		for i := range before {
			after := &tree.File{Data: append(bytes.Clone(base[i].After.Data), fmt.Sprint(n)...)}
			changes = append(changes, ch(base[i].Path, before[i], after))
			before[i] = after
		}
		for i, c := range fill4K(20, 5) {
			changes = append(changes, Change{Path: fmt.Sprintf("d%d/add%d/f%d.go", i%5, n, i), After: c.After})
		}
		if err := Apply(b.Context(), dir, changes); err != nil {
			b.Fatal(err)
		}
	}
}

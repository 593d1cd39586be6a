package gomod_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

// everything is a service of many files that imports all packages of the
// embedded universe that anything but a dependency can import.
func everything(tb testing.TB) tree.Tree {
	tb.Helper()
	u, err := gomod.Embedded()
	if err != nil {
		tb.Fatal(err)
	}
	reached := make([]bool, len(u.Packages))
	for _, p := range u.Packages {
		for _, i := range append(p.Imports, p.TestImports...) {
			reached[i] = true
		}
	}
	t := tree.Tree{}
	const files = 150
	body := strings.Repeat("\n// f does something of note.\nfunc f() error { return nil }\n", 60)
	for i := range files {
		var b strings.Builder
		fmt.Fprintf(&b, "// Package p%d is one of many.\npackage p%d\n\nimport (\n\t\"context\"\n", i, i)
		for j := i; j < len(u.Packages); j += files {
			if !reached[j] {
				fmt.Fprintf(&b, "\t_ %q\n", u.Packages[j].Path)
			}
		}
		b.WriteString(")\n" + body)
		t[fmt.Sprintf("internal/p%d/p.go", i)] = tree.File{Data: []byte(b.String())}
	}
	return t
}

// BenchmarkResolve is what one command of scaffold pays at most: decoding the
// embedded universe and resolving a service of 150 files that imports all of it.
func BenchmarkResolve(b *testing.B) {
	files := everything(b)
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			if _, err := gomod.DecodeEmbedded(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			u, err := gomod.DecodeEmbedded()
			if err != nil {
				b.Fatal(err)
			}
			if _, _, err := u.Resolve("example.com/app", files); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Package tree holds a repository's files as a value: what a render produces,
// what was recorded, and what stands in a working tree are all a [Tree], so
// that they can be compared before anything is written.
//
// It imports no other package of this module.
package tree

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// A File is the content of one regular file and whether it is executable. No
// other mode bit is scaffold's business.
type File struct {
	Data []byte
	Exec bool
}

// Equal reports whether f and g have the same bytes and the same mode.
func (f File) Equal(g File) bool {
	return f.Exec == g.Exec && bytes.Equal(f.Data, g.Data)
}

// Hash returns the hex SHA-256 of the file's mode and bytes.
func (f File) Hash() string {
	h := sha256.New()
	if f.Exec {
		h.Write([]byte("exec\n"))
	} else {
		h.Write([]byte("file\n"))
	}
	h.Write(f.Data)
	return hex.EncodeToString(h.Sum(nil))
}

// Mode returns the file's permission bits, before the umask.
func (f File) Mode() fs.FileMode {
	if f.Exec {
		return 0o755
	}
	return 0o644
}

// A Tree maps slash-separated paths, relative to the root of a repository, to
// files. Directories exist only as prefixes of paths. The zero value is an
// empty tree that can be read; make one to write to it. A Tree is not safe for
// concurrent writes.
type Tree map[string]File

// Paths returns the paths in byte order.
func (t Tree) Paths() []string {
	return slices.Sorted(maps.Keys(t))
}

// Clone returns a tree with the same files. The bytes are shared, which is safe
// because no one writes to a File's Data in place.
func (t Tree) Clone() Tree {
	return maps.Clone(t)
}

// Equal reports whether both trees hold the same paths with equal files.
func (t Tree) Equal(u Tree) bool {
	return maps.EqualFunc(t, u, File.Equal)
}

// CheckPath reports why a path may not stand in a tree: it must be a clean,
// relative, slash-separated path that means the same on every platform and
// stays out of .git.
func CheckPath(p string) error {
	switch {
	case p == "" || p == ".":
		return fmt.Errorf("%q: empty path", p)
	case strings.ContainsAny(p, "\\\x00"):
		return fmt.Errorf("%q: a backslash or NUL in a path", p)
	case path.IsAbs(p) || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../"):
		return fmt.Errorf("%q: not a clean path below the root", p)
	}
	for elem := range strings.SplitSeq(p, "/") {
		if err := checkElem(elem); err != nil {
			return fmt.Errorf("%q: %w", p, err)
		}
	}
	return nil
}

func checkElem(elem string) error {
	for i := range len(elem) {
		switch c := elem[i]; {
		case c < 0x20 || c == 0x7f:
			return fmt.Errorf("%q has a control character", elem)
		case c == ':' || c == '*' || c == '?' || c == '"' || c == '<' || c == '>' || c == '|':
			return fmt.Errorf("%q has a character that Windows refuses", elem)
		}
	}
	if strings.HasSuffix(elem, ".") || strings.HasSuffix(elem, " ") || strings.HasPrefix(elem, " ") {
		return fmt.Errorf("%q starts or ends with a space or ends with a dot", elem)
	}
	if strings.EqualFold(elem, ".git") {
		return fmt.Errorf("%q belongs to git", elem)
	}
	stem, _, _ := strings.Cut(elem, ".")
	if len(stem) <= 4 && slices.Contains(deviceNames, strings.ToUpper(stem)) { // none is longer
		return fmt.Errorf("%q is a device name on Windows", elem)
	}
	return nil
}

// deviceNames are the names that Windows keeps for devices, with any extension.
var deviceNames = []string{
	"CON", "PRN", "AUX", "NUL",
	"COM1", "COM2", "COM3", "COM4", "COM5", "COM6", "COM7", "COM8", "COM9",
	"LPT1", "LPT2", "LPT3", "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9",
}

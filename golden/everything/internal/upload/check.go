package upload

import (
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the length of the longest file name, in bytes, as in most file
// systems.
const maxName = 255

// allows reports what may not be uploaded, as an [InvalidError].
func (c Config) allows(name, mediaType string, size int64, sha256 string) error {
	switch {
	case name == "" || len(name) > maxName:
		return invalid("name: must have between 1 and %d bytes", maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return invalid("name: must be text without control characters")
	case size < 1 || size > c.MaxSize:
		return invalid("size: must be between 1 and %d bytes", c.MaxSize)
	case !slices.Contains(c.Types, mediaType):
		return invalid("type: must be one of %s", strings.Join(c.Types, ", "))
	case !isSHA256(sha256):
		return invalid("sha256: must be 64 digits of lower-case hex")
	}
	return nil
}

func isSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && s == strings.ToLower(s)
}

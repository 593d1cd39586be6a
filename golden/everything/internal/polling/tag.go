package polling

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

// etag returns the version's entity tag (RFC 9110, section 8.8.3). A tag that is
// long, or has what no entity tag may have, is replaced by its hash.
func (v Version) etag() string {
	opaque := v.Tag
	if len(opaque) > 64 || strings.ContainsFunc(opaque, func(c rune) bool { return c < '!' || c == '"' || c > '~' }) {
		sum := sha256.Sum256([]byte(opaque))
		opaque = base64.RawURLEncoding.EncodeToString(sum[:16])
	}
	if v.Weak {
		return `W/"` + opaque + `"`
	}
	return `"` + opaque + `"`
}

// tags are the value of If-Match or If-None-Match.
type tags struct {
	given bool // the header is there
	any   bool // it is *
	list  []string
}

// parseTags reads a header that may be there several times. What stands before
// a tag that can't be read counts, and what stands behind it does not.
func parseTags(values []string) tags {
	t := tags{given: len(values) > 0}
	rest := strings.Trim(strings.Join(values, ","), " \t")
	if rest == "*" {
		t.any = true
		return t
	}
	for {
		rest = strings.TrimLeft(rest, " \t,")
		tag, after, ok := cutTag(rest)
		if !ok {
			return t
		}
		t.list = append(t.list, tag)
		rest = after
	}
}

// cutTag returns the entity tag that s begins with. A tag may have a comma in it.
func cutTag(s string) (tag, after string, ok bool) {
	quote := strings.IndexByte(s, '"')
	if quote != 0 && (quote != 2 || s[:2] != "W/") {
		return "", "", false
	}
	length := strings.IndexByte(s[quote+1:], '"')
	if length < 0 {
		return "", "", false
	}
	end := quote + 1 + length + 1
	tag, after = s[:end], strings.TrimLeft(s[end:], " \t")
	if strings.ContainsFunc(tag, func(c rune) bool { return c < '!' || c == 0x7f }) || after != "" && after[0] != ',' {
		return "", "", false
	}
	return tag, after, true
}

// Allowed returns what says whether a request may change a thing, by its If-Match and
// If-None-Match (RFC 9110, section 13): it is told the thing's version, and whether it
// is there. Ask it where nothing else changes the thing meanwhile.
func Allowed(req *http.Request) func(v Version, there bool) bool {
	match, noneMatch := parseTags(req.Header.Values("If-Match")), parseTags(req.Header.Values("If-None-Match"))
	return func(v Version, there bool) bool {
		if match.given && (!there || !match.strong(v.etag())) {
			return false
		}
		return !noneMatch.given || !there || !noneMatch.weak(v.etag())
	}
}

// weak reports whether one of the tags is etag by the weak comparison, which
// If-None-Match asks for: proxies that compress make strong tags weak.
func (t tags) weak(etag string) bool {
	opaque := strings.TrimPrefix(etag, "W/")
	return t.any || slices.ContainsFunc(t.list, func(tag string) bool { return strings.TrimPrefix(tag, "W/") == opaque })
}

// strong reports whether one of the tags is etag by the strong comparison, which
// If-Match asks for: no weak tag is equal to anything.
func (t tags) strong(etag string) bool {
	return t.any || !strings.HasPrefix(etag, "W/") && slices.Contains(t.list, etag)
}

package sse

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// Wanted reports whether a request asks for an event stream by its name, and for
// nothing else rather (Accept, RFC 9110, section 12.5.1).
func Wanted(r *http.Request) bool {
	stream, other := 0.0, 0.0
	for value := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		name, params, err := mime.ParseMediaType(value)
		if err != nil {
			continue
		}
		weight := 1.0
		if q, ok := params["q"]; ok {
			if weight, err = strconv.ParseFloat(q, 64); err != nil {
				continue
			}
		}
		if name == "text/event-stream" {
			stream = max(stream, weight)
		} else {
			other = max(other, weight)
		}
	}
	return stream > 0 && stream >= other
}

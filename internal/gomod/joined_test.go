package gomod_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/gomod"
)

func TestJoined(t *testing.T) {
	t.Parallel()
	const rest = "\nrequire a.b/c v1.0.0\nrequire a.b/c v1.1.0\n"
	for name, tt := range map[string]struct{ data, want string }{
		"one version":      {"module m\n\ngo 1.26\n" + rest, "module m\n\ngo 1.26\n" + rest},
		"two go lines":     {"module m\n\ngo 1.9\ngo 1.26.0\n" + rest, "module m\n\ngo 1.26.0\n" + rest},
		"the higher first": {"module m\n\ngo 1.26.0 // why\ngo 1.25.1\n" + rest, "module m\n\ngo 1.26.0 // why\n" + rest},
		"two toolchains":   {"module m\n\ngo 1.26\ngo 1.27\ntoolchain go1.27.1\ntoolchain go1.26.3\n", "module m\n\ngo 1.27\ntoolchain go1.27.1\n"},
		"one twice":        {"module m\n\ngo 1.26\ngo 1.26", "module m\n\ngo 1.26\n"},
		"two modules":      {"module m\nmodule n\n\ngo 1.26\n", ""},
		"no go.mod at all": {"wat\n", ""},
		"nothing":          {"", ""},
	} {
		if diff := cmp.Diff(tt.want, string(gomod.Joined([]byte(tt.data)))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

package cli

import "testing"

func TestFieldOfAPartThatIsMissing(t *testing.T) {
	t.Parallel()
	const (
		imports = "import (\n\t\"acme.com/orders/internal/sse\"\n)\n\n"
		app     = "type App struct {\n\thost\n\n"
		hub     = "\tsse       *sse.Hub\n"
	)
	next := imports + app + hub + "\tworkers   *workers.Pool\n}\n"
	for stands, want := range map[string]string{
		app + "}\n":                    " and `sse *sse.Hub` into App, and import \"acme.com/orders/internal/sse\"",
		imports + app + "}\n":          " and `sse *sse.Hub` into App",
		imports + app + hub + "}\n":    "",
		app + "\tsse *sse.Hub\n" + "}": "",
	} {
		if got := field([]byte(next), []byte(stands), "sse"); got != want {
			t.Errorf("%q, want %q for\n%s", got, want, stands)
		}
	}
	if got := field([]byte(next), nil, "sse_pubsub"); got != "" {
		t.Errorf("a part without a field: %q", got)
	}
}

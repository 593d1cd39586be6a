package foreign_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/foreign"
)

// Imports come where such are.
func TestWireImports(t *testing.T) {
	t.Parallel()
	const body = "\nfunc main() {\n\tm := http.NewServeMux()\n\tm.Handle(\"/\", nil)\n}\n"
	for name, tt := range map[string]struct{ before, want string }{
		"a single one": {
			"package main\n\nimport \"net/http\"\n",
			"package main\n\nimport (\n\t\"context\"\n\t\"log\"\n\t\"log/slog\"\n\t\"net/http\"\n\t\"os\"\n\n\t\"acme.example/shop/internal/patterns\"\n)\n",
		},
		"two single ones": {
			"package main\n\nimport \"net/http\"\nimport _ \"embed\" // files\n",
			"package main\n\nimport \"net/http\"\nimport _ \"embed\" // files\n\nimport (\n\t\"context\"\n\t\"log\"\n\t\"log/slog\"\n\t\"os\"\n\n\t\"acme.example/shop/internal/patterns\"\n)\n",
		},
		"a group of the module's own": {
			"package main\n\nimport (\n\t\"log\"\n\t\"net/http\"\n\n\t\"acme.example/shop/internal/zebra\"\n)\n\nvar _ = zebra.Z\nvar _ = log.Fatal\n",
			"package main\n\nimport (\n\t\"context\"\n\t\"log\"\n\t\"log/slog\"\n\t\"net/http\"\n\t\"os\"\n\n\t\"acme.example/shop/internal/patterns\"\n\t\"acme.example/shop/internal/zebra\"\n)\n\nvar _ = zebra.Z\nvar _ = log.Fatal\n",
		},
		"another's package of the same name": {
			"package main\n\nimport (\n\t\"net/http\"\n\n\tlog \"github.com/sirupsen/logrus\"\n)\n\nvar _ = log.Fatal\n",
			"package main\n\nimport (\n\t\"context\"\n\tstdlog \"log\"\n\t\"log/slog\"\n\t\"net/http\"\n\t\"os\"\n\n\tlog \"github.com/sirupsen/logrus\"\n\n\t\"acme.example/shop/internal/patterns\"\n)\n\nvar _ = log.Fatal\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := foreign.Wire(module(map[string]string{"main.go": tt.before + body}), "main.go", "main", library)
			if err != nil {
				t.Fatal(err)
			}
			got, _, _ := strings.Cut(string(w.Data), "\nfunc main()")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// In a file that gofmt has not seen, what is put in has its form all the same.
func TestWireUnformatted(t *testing.T) {
	t.Parallel()
	for _, imports := range []string{
		"import (\n    \"github.com/go-chi/chi/v5\"\n)",
		"import (\n    \"github.com/go-chi/chi/v5\"\n\n    \"context\"\n)",
		"import \"github.com/go-chi/chi/v5\"",
		"import (\n\tch \"github.com/go-chi/chi/v5\" // the router\n)",
	} {
		for _, eol := range []string{"\n", "\r\n"} {
			src := "package main\n\n" + imports + "\n\nfunc main() {\n    m := chi.NewRouter()\n    m.Get( \"/\", nil)\n}\n"
			if strings.Contains(imports, "ch ") {
				src = strings.ReplaceAll(src, "chi.New", "ch.New")
			}
			w, err := foreign.Wire(module(map[string]string{"main.go": strings.ReplaceAll(src, "\n", eol)}), "main.go", "main", library)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(w.Data)) {
				if text := strings.TrimRight(line, "\r\n"); text != strings.TrimRight(text, " \t") {
					t.Errorf("%q is a line of\n%s", line, w.Data)
				}
			}
		}
	}
}

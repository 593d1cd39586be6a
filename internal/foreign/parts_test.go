package foreign_test

import (
	"strings"
	"testing"

	"github.com/seed-d146d9dc/scaffold/internal/foreign"
)

// A router for what is below a prefix is refused with that reason.
func TestWireRefusesAPart(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ imports, made, want string }{
		"not named":   {"github.com/gorilla/mux", "v1 := mux.NewRouter().PathPrefix(\"/v1\").Subrouter()", "has v1 in line 6 for what is below a prefix of a router without a name"},
		"gorilla":     {"github.com/gorilla/mux", "root := mux.NewRouter()\n\tapi := root.PathPrefix(\"/api\").Subrouter()", "has api in line 7 for what is below a prefix of root, and the patterns answer whole paths: name root,"},
		"gin":         {"github.com/gin-gonic/gin", "root := gin.New()\n\tvar api = root.Group(\"/api\")", "prefix of root, and the patterns answer whole paths: name root,"},
		"in one":      {"github.com/gorilla/mux", "api := mux.NewRouter().PathPrefix(\"/api\").Subrouter()", "prefix of a router without a name, and the patterns answer whole paths: give it one,"},
		"a parameter": {"github.com/go-chi/chi/v5", "api := root.Route(\"/api\", nil)", "prefix of root, and"},
		"no part":     {"github.com/go-chi/chi/v5", "api := other(root)", "makes no router, and is handed none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := "run:api"
			if name == "not named" {
				at = "run"
			}
			src := "package main\n\nimport \"" + tt.imports + "\"\n\nfunc run(root *T) {\n\t" + tt.made + "\n\tserve(api)\n}\n"
			_, err := foreign.Wire(module(map[string]string{"main.go": src}), "main.go", at, library)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

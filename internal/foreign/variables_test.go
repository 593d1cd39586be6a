package foreign_test

import (
	"testing"

	"github.com/seed-d146d9dc/scaffold/internal/foreign"
)

// A group that a function is handed may be below a prefix, which is told.
func TestWireGroup(t *testing.T) {
	t.Parallel()
	for param, want := range map[string]bool{"g *gin.RouterGroup": true, "g *gin.Engine": false, "g gin.IRouter": false} {
		w, err := foreign.Wire(module(map[string]string{
			"main.go": "package main\n\nimport \"github.com/gin-gonic/gin\"\n\nfunc routes(" + param + ") {\n\tg.GET(\"/\", nil)\n}\n",
		}), "main.go", "routes", library)
		if err != nil {
			t.Fatal(err)
		}
		if w.Group != want {
			t.Errorf("%s: %t, want %t", param, w.Group, want)
		}
	}
}

// A variable of the package is a router that each of its functions can be wired to.
func TestWireVariable(t *testing.T) {
	t.Parallel()
	const (
		chi     = "import \"github.com/go-chi/chi/v5\"\n\nvar router = chi.NewRouter()\n"
		gorilla = "import \"github.com/gorilla/mux\"\n\nvar r = mux.NewRouter()\n"
		two     = "import \"net/http\"\n\nvar (\n\tadmin = http.NewServeMux()\n\tpublic = http.NewServeMux()\n)\n"
		use     = "\trouter.Method(route.Method, route.Path, added.Handler())\n"
	)
	for name, tt := range map[string]struct{ pkg, src, at, want, refused string }{
		"used in init": {pkg: chi, src: "func init() {\n\trouter.Get(\"/\", nil)\n}", at: "init", want: "router.Get(\"/\", nil)\n\tadded, err"},
		"served in main": {
			pkg: chi, src: "func main() {\n\trouter.Get(\"/\", nil)\n\thttp.ListenAndServe(addr, router)\n}", at: "main",
			want: use + "\t}\n\thttp.ListenAndServe",
		},
		"named":               {pkg: chi, src: "func main() {\n\tserve(router)\n}", at: "main:router", want: use},
		"named, and not used": {pkg: chi, src: "func main() {\n\tstartAll()\n}", at: "main:router", want: use + "\t}\n\tstartAll()"},
		"not used":            {pkg: chi, src: "func main() {}", at: "main", refused: "main.go: main makes no router, and is handed none"},
		"another thing by its name": {
			pkg: chi, src: "func main() {\n\trouter := other()\n\tserve(router)\n}", at: "main", refused: "main.go: main makes no router, and is handed none",
		},
		"by its type": {
			pkg: "import \"github.com/gin-gonic/gin\"\n\nvar engine *gin.Engine\n", src: "func main() {\n\tengine.GET(\"/\", nil)\n\tengine.Run()\n}", at: "main",
			want: "engine.Handle(route.Method, route.Colons(), gin.WrapH(added.Handler()))",
		},
		"made in the function": {
			pkg: "import \"github.com/go-chi/chi/v5\"\n\nvar router chi.Router\n\nfunc newRouter() chi.Router { return chi.NewRouter() }\n",
			src: "func main() {\n\trouter = newRouter()\n\tserve(router)\n}", at: "main", want: "router = newRouter()\n\tadded, err",
		},
		"a field": {
			pkg: "import \"net/http\"\n\ntype server struct{ mux *http.ServeMux }\n\nvar s = &server{mux: http.NewServeMux()}\n",
			src: "func main() {\n\ts.mux.Handle(\"/\", nil)\n\thttp.ListenAndServe(addr, s.mux)\n}", at: "main", want: "s.mux.Handle(route.Method+",
		},
		"built by a function": {
			pkg: "import \"github.com/gorilla/mux\"\n\nvar r = newRouter()\n\nfunc newRouter() *mux.Router { return mux.NewRouter() }\n",
			src: "func main() {\n\tserve(r)\n}", at: "main", want: "r.Handle(route.Path, added.Handler()).Methods(route.Method)",
		},
		"two, of which one is served": {
			pkg: two, src: "func main() {\n\tpublic.Handle(\"/admin/\", admin)\n\thttp.ListenAndServe(addr, public)\n}", at: "main",
			want: "public.Handle(route.Method+",
		},
		"two": {
			pkg: two, src: "func init() {\n\tpublic.Handle(\"/x\", x)\n\tadmin.Handle(\"/y\", y)\n}", at: "init",
			refused: "main.go: init speaks of 2 routers: say which, as in main.go:init:admin (it has admin, public)",
		},
		"two, of which one is named": {
			pkg: two, src: "func init() {\n\tpublic.Handle(\"/x\", x)\n\tadmin.Handle(\"/y\", y)\n}", at: "init:public", want: "public.Handle(route.Method+",
		},
		"beside one that is made there": {
			pkg: two, src: "func main() {\n\tm := http.NewServeMux()\n\tm.Handle(\"/admin/\", admin)\n\thttp.ListenAndServe(addr, m)\n}", at: "main",
			want: "m.Handle(route.Method+",
		},
		"behind a catch-all of another function": {
			pkg: gorilla + "\nfunc init() {\n\tr.PathPrefix(\"/\").Handler(nil)\n}\n", src: "func main() {\n\tserve(r)\n}", at: "main",
			refused: "main.go: main has r, which leads all requests somewhere in init: name that function instead",
		},
		"before a catch-all": {
			pkg: gorilla, src: "func init() {\n\tr.Handle(\"/x\", nil)\n\tr.PathPrefix(\"/\").Handler(nil)\n}", at: "init",
			want: ".Methods(route.Method)\n\t}\n\tr.PathPrefix",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := foreign.Wire(module(map[string]string{
				"main.go":   "package main\n\nimport \"net/http\"\n\nvar _ http.Handler\n\n" + tt.src + "\n",
				"router.go": "package main\n\n" + tt.pkg,
			}), "main.go", tt.at, library)
			wantWired(t, w, err, tt.want, tt.refused)
		})
	}
}

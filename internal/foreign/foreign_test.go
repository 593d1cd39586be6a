package foreign_test

import (
	"errors"
	"go/format"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/seed-d146d9dc/scaffold/internal/foreign"
)

// module makes a file system of files that are given by name and content.
func module(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{"go.mod": {Data: []byte("module acme.example/shop\n\ngo 1.24\n")}}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestLook(t *testing.T) {
	t.Parallel()
	const serve = "package main\nimport \"net/http\"\nfunc main() { m := http.NewServeMux(); _ = m }\n"
	for name, tt := range map[string]struct {
		files    map[string]string
		folder   string
		router   foreign.Router
		database string
		site     string // file:function:variable
	}{
		"nothing":  {map[string]string{"doc.go": "package shop\n"}, ".", foreign.NetHTTP, "", ""},
		"net/http": {map[string]string{"main.go": serve}, ".", foreign.NetHTTP, "", "main.go:main:m"},
		"the default mux": {
			map[string]string{"main.go": "package main\nimport \"net/http\"\nfunc main() { http.HandleFunc(\"/\", nil) }\n"},
			".", foreign.NetHTTP, "", "main.go:main:http.DefaultServeMux",
		},
		"a router beside net/http": {
			map[string]string{"main.go": serve, "api/api.go": "package api\nimport \"github.com/go-chi/chi/v5\"\n", "cmd/x/main.go": "package main\nimport _ \"acme.example/shop/api\"\nfunc main() {}\n"},
			".", foreign.Chi, "", "",
		},
		"the nearest router, of several": {
			map[string]string{
				"main.go":     "package main\nimport (\n\t\"acme.example/shop/api\"\n\t\"github.com/gorilla/mux\"\n)\nvar r = mux.NewRouter()\nfunc main() { api.Do() }\n",
				"api/api.go":  "package api\nimport \"github.com/gin-gonic/gin\"\nfunc Do() { e := gin.New(); _ = e }\n",
				"old/dead.go": "package old\nimport _ \"github.com/labstack/echo/v4\"\n",
			},
			".", foreign.Gorilla, "", "",
		},
		"what a test imports is nothing": {
			map[string]string{"main.go": serve, "main_test.go": "package main\nimport _ \"github.com/gin-gonic/gin\"\n"},
			".", foreign.NetHTTP, "", "main.go:main:m",
		},
		"a folder alone": {
			map[string]string{"main.go": serve, "services/a/main.go": "package main\nimport \"github.com/labstack/echo/v4\"\nfunc run() { e := echo.New(); _ = e }\nfunc main() { run() }\n"},
			"services/a", foreign.Echo, "", "services/a/main.go:run:e",
		},
		"examples, tools and other modules do not count": {
			map[string]string{
				"cmd/shop/main.go": serve, "examples/gin/main.go": "package main\nimport _ \"github.com/gin-gonic/gin\"\nfunc main() {}\n",
				"tools/main.go": "package main\nimport _ \"github.com/lib/pq\"\nfunc main() {}\n", "gen.go": "//go:build ignore\n\npackage main\nimport _ \"github.com/lib/pq\"\nfunc main() {}\n",
				"other/go.mod": "module other\n", "other/main.go": "package main\nimport _ \"github.com/gin-gonic/gin\"\nfunc main() {}\n",
			},
			".", foreign.NetHTTP, "", "cmd/shop/main.go:main:m",
		},
		"PostgreSQL": {map[string]string{"main.go": "package main\nimport _ \"github.com/jackc/pgx/v5/stdlib\"\nfunc main() {}\n"}, ".", foreign.NetHTTP, "postgres", ""},
		"SQLite":     {map[string]string{"main.go": "package main\nimport _ \"github.com/mattn/go-sqlite3\"\nfunc main() {}\n"}, ".", foreign.NetHTTP, "sqlite", ""},
		"both": {
			map[string]string{"main.go": "package main\nimport (\n_ \"modernc.org/sqlite\"\n_ \"github.com/lib/pq\"\n)\nfunc main() {}\n"},
			".", foreign.NetHTTP, "postgres", "",
		},
		"a method, in a package that the root one is": {
			map[string]string{
				"cmd/x/main.go": "package main\nimport \"acme.example/shop\"\nfunc main() { shop.Do() }\n",
				"shop.go":       "package shop\nimport m \"github.com/gorilla/mux\"\ntype S[T any] struct{ r *m.Router }\nfunc (s *S[T]) Routes() { s.r = m.NewRouter().StrictSlash(true) }\nfunc Do() {}\n",
			},
			".", foreign.Gorilla, "", "shop.go:S.Routes:s.r",
		},
		"a field of what is made": {
			map[string]string{
				"main.go":   "package main\nimport \"github.com/go-chi/chi/v5\"\nfunc main() { s := &server{router: chi.NewRouter(), handler: chi.NewRouter()}; _ = s }\n",
				"server.go": "package main\nimport (\n\"net/http\"\n\"github.com/go-chi/chi/v5\"\n)\ntype server struct {\nrouter chi.Router\nhandler http.Handler\n}\n",
			},
			".", foreign.Chi, "", "main.go:main:s.router",
		},
		"a variable of the package, where it is served": {
			map[string]string{
				"main.go":   "package main\nimport \"net/http\"\nfunc main() { http.ListenAndServe(\"\", router) }\n",
				"router.go": "package main\nimport \"github.com/go-chi/chi/v5\"\nvar router = chi.NewRouter()\nfunc init() { router.Get(\"/\", nil) }\n",
			},
			".", foreign.Chi, "", "main.go:main:router",
		},
		"what scaffold brought does not count": {
			map[string]string{"main.go": serve, "internal/patterns/x.go": "package patterns\nimport _ \"github.com/gin-gonic/gin\"\n", "cmd/y/main.go": "package main\nimport _ \"acme.example/shop/internal/patterns\"\nfunc main() {}\n"},
			".", foreign.NetHTTP, "", "main.go:main:m",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := foreign.Look(module(tt.files), tt.folder, "internal/patterns")
			if err != nil {
				t.Fatal(err)
			}
			if r.Module != "acme.example/shop" || r.Go != "1.24" {
				t.Errorf("module %s, go %s", r.Module, r.Go)
			}
			site := ""
			if len(r.Sites) > 0 {
				site = r.Sites[0].File + ":" + r.Sites[0].Func + ":" + r.Sites[0].Var
			}
			if r.Router != tt.router || r.Database != tt.database || site != tt.site {
				t.Errorf("router %s, database %q, site %q; want %s, %q, %q", r.Router, r.Database, site, tt.router, tt.database, tt.site)
			}
			if wired := tt.files["cmd/y/main.go"] != ""; (r.Wired != "") != wired {
				t.Errorf("wired in %q", r.Wired)
			}
		})
	}
}

func TestLookFails(t *testing.T) {
	t.Parallel()
	for want, fsys := range map[string]fstest.MapFS{
		"main.go:2:1: ": module(map[string]string{"main.go": "package main\nimport x\n"}),
		"go.mod:1":      {"go.mod": {Data: []byte("modul x\n")}},
		"go.mod":        {},
	} {
		if _, err := foreign.Look(fsys, ".", "internal/patterns"); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(want, ":1: ")) {
			t.Errorf("Look: %v, want %q in it", err, want)
		}
	}
}

var library = foreign.Library{Import: "acme.example/shop/internal/patterns", Package: "patterns"}

// Where the lines come, and what they are, for functions that are written in
// many ways.
func TestWire(t *testing.T) {
	t.Parallel()
	const header = "package main\n\nimport (\n\t\"context\"\n\t\"log\"\n\t\"net/http\"\n)\n\n"
	for name, tt := range map[string]struct {
		fn, body, want string
		closes         bool
	}{
		"before the server takes it": {
			"main", "func main() {\n\tm := http.NewServeMux()\n\tm.Handle(\"/\", nil)\n\tsrv := &http.Server{Handler: m}\n\tlog.Fatal(srv.ListenAndServe())\n}\n",
			"m.Handle(\"/\", nil)\n\tadded, err := patterns.New(context.Background(), os.Getenv, slog.Default())", true,
		},
		"the context that is there": {
			"run", "func run(stop context.Context) error {\n\tm := http.NewServeMux()\n\treturn http.ListenAndServe(\"\", m)\n}\n",
			"patterns.New(stop, os.Getenv, slog.Default())\n\tif err == nil {\n\t\terr = added.Start(stop)\n\t}\n\tif err != nil {\n\t\treturn err\n\t}\n\tdefer added.Close()\n", true,
		},
		"a context of its own": {
			"main", "func main() {\n\tctx, stop := context.WithCancel(context.Background())\n\tdefer stop()\n\tm := http.NewServeMux()\n\t_ = http.ListenAndServe(\"\", m)\n\tlog.Print(ctx)\n}\n",
			"patterns.New(ctx, os.Getenv", true,
		},
		"an end by os.Exit": {
			"main", "func main() {\n\tm := http.NewServeMux()\n\tif err := http.ListenAndServe(\"\", m); err != nil {\n\t\tos.Exit(1)\n\t}\n}\n",
			"m := http.NewServeMux()\n\tadded, err :=", true,
		},
		"an orderly end": {
			"main", "func main() {\n\tm := http.NewServeMux()\n\tif err := http.ListenAndServe(\"\", m); err != http.ErrServerClosed {\n\t\tlog.Print(err)\n\t\tpanic(err)\n\t}\n}\n",
			"m := http.NewServeMux()\n\tadded, err :=", true,
		},
		"other results": {
			"routes", "func routes() (*http.ServeMux, string, int, error) {\n\tm := http.NewServeMux()\n\treturn m, \"\", 0, nil\n}\n",
			"return nil, \"\", 0, err\n\t}\n\tfor _", false,
		},
		"results without a known zero": {
			"routes", "func routes() (http.Server, error) {\n\tm := http.NewServeMux()\n\treturn http.Server{Handler: m}, nil\n}\n",
			"log.Fatal(err)\n\t}\n\tfor _", false,
		},
		"a router that it is handed": {
			"add", "func add(m *http.ServeMux) {\n}\n",
			"func add(m *http.ServeMux) {\n\tadded, err :=", false,
		},
		"names that are taken": {
			"main", "func main() {\n\tadded, patterns, os := 1, 2, 3\n\tm := http.NewServeMux()\n\tlog.Print(added, patterns, os)\n\t_ = http.ListenAndServe(\"\", m)\n}\n",
			"addedPatterns, err := scaffoldpatterns.New(context.Background(), stdos.Getenv, slog.Default())", true,
		},
		"an error that is declared later": {
			"run", "func run() error {\n\tm := http.NewServeMux()\n\terr := http.ListenAndServe(\"\", m)\n\treturn err\n}\n",
			"added, addErr := patterns.New(context.Background(), os.Getenv, slog.Default())\n\tif addErr == nil {\n\t\taddErr = added.Start(context.Background())\n\t}\n\tif addErr != nil {\n\t\treturn addErr\n\t}\n", true,
		},
		"middleware on a router that a struct holds": {
			"routes", "func routes() http.Handler {\n\tm := http.NewServeMux()\n\ts := &server{mux: m}\n\ts.protect()\n\tm.Handle(\"/x\", nil)\n\treturn s\n}\n",
			"m.Handle(\"/x\", nil)\n\tadded, err :=", false,
		},
		"middleware behind the server's literal": {
			"main", "func main() {\n\tm := http.NewServeMux()\n\tsrv := &http.Server{Handler: m}\n\tprotect(m)\n\tlog.Fatal(srv.ListenAndServe())\n}\n",
			"protect(m)\n\tadded, err :=", true,
		},
		"what holds the router serves": {
			"main", "func main() {\n\tm := http.NewServeMux()\n\tsrv := &http.Server{Handler: m}\n\tprotect(srv)\n\t_ = srv.Serve(nil)\n}\n",
			"protect(srv)\n\tadded, err :=", true,
		},
		"a group of routes": {
			"routes", "func routes() http.Handler {\n\tm := http.NewServeMux()\n\tv1 := group(m)\n\t{\n\t\tv1.protect()\n\t}\n\treturn m\n}\n",
			"v1.protect()\n\t}\n\tadded, err :=", false,
		},
		"two routers, of which one is served": {
			"main", "func main() {\n\tadmin := http.NewServeMux()\n\tm := http.NewServeMux()\n\tm.Handle(\"/admin/\", admin)\n\t_ = http.ListenAndServe(\"\", m)\n}\n",
			"m.Handle(\"/admin/\", admin)\n\tadded, err :=", true,
		},
		"the router that is named": {
			"main:admin", "func main() {\n\tadmin := http.NewServeMux()\n\tm := http.NewServeMux()\n\tm.Handle(\"/admin/\", admin)\n\t_ = http.ListenAndServe(\"\", m)\n}\n",
			"admin.Handle(route.Method+", true,
		},
		"one line": {
			"main", "func main() { m := http.NewServeMux(); _ = http.ListenAndServe(\"\", m); log.Print(context.Background()) }\n",
			"m := http.NewServeMux()\n\tadded, err := patterns.New(", true,
		},
		"inside of a block": {
			"main", "func main() {\n\tif context.Background() != nil {\n\t\tm := http.NewServeMux()\n\t\tlog.Fatal(http.ListenAndServe(\"\", m))\n\t}\n}\n",
			"\t\tm := http.NewServeMux()\n\t\tadded, err :=", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := header + tt.body
			w, err := foreign.Wire(module(map[string]string{"main.go": src}), "main.go", tt.fn, library)
			if err != nil {
				t.Fatal(err)
			}
			if exits := strings.Contains(tt.body, "log.Fatal(") || strings.Contains(tt.body, "os.Exit("); w.Exits != exits {
				t.Errorf("exits: %t, want %t", w.Exits, exits)
			}
			if own := len(w.Imports) - 1; !slices.IsSorted(w.Imports[:own]) || !strings.Contains(w.Imports[own], library.Import) {
				t.Errorf("imports %q", w.Imports)
			}
			if !strings.Contains(string(w.Data), tt.want) || w.Closes != tt.closes {
				t.Errorf("closes: %t; want %t and %q in\n%s", w.Closes, tt.closes, tt.want, w.Data)
			}
			if tidy, err := format.Source(w.Data); err != nil || string(tidy) != string(w.Data) {
				t.Errorf("not formatted (%v):\n%s", err, w.Data)
			}
			for _, line := range []string{`"log/slog"`, "acme.example/shop/internal/patterns\"\n"} {
				if strings.Count(string(w.Data), line) != 1 {
					t.Errorf("%s is not there once:\n%s", line, w.Data)
				}
			}
			// A second time it is refused.
			_, err = foreign.Wire(module(map[string]string{"main.go": string(w.Data)}), "main.go", tt.fn, library)
			if !errors.Is(err, foreign.ErrWired) {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// What a gorilla router asks first answers: the library's routes come before one for
// all that is left.
func TestWireBeforeACatchAll(t *testing.T) {
	t.Parallel()
	src := "package main\n\nimport (\n\t\"net/http\"\n\n\t\"github.com/gorilla/mux\"\n)\n\nfunc routes() http.Handler {\n\tr := mux.NewRouter()\n\tr.HandleFunc(\"/x\", nil)\n\tr.PathPrefix(\"/\").Handler(nil)\n\tr.Use(nil)\n\treturn r\n}\n"
	w, err := foreign.Wire(module(map[string]string{"main.go": src}), "main.go", "routes", library)
	if err != nil {
		t.Fatal(err)
	}
	text := string(w.Data)
	if added := strings.Index(text, "added, err"); added < strings.Index(text, `"/x"`) || added > strings.Index(text, "PathPrefix") {
		t.Errorf("want the lines between /x and the prefix:\n%s", text)
	}
}

// A router that a struct of the package holds is one that its methods are handed, and
// so is one that a literal of it makes.
func TestWireHeldRouter(t *testing.T) {
	t.Parallel()
	const method = "package main\n\nfunc (s *Server) routes() {\n\ts.protect()\n\ts.router.ROUTE(\"/x\", s.x)\n\ts.log(\"ready\")\n}\n"
	for name, tt := range map[string]struct {
		imports, field, src, at, want string
	}{
		"chi": {
			`"github.com/go-chi/chi/v5"`, "router *chi.Mux", strings.Replace(method, "ROUTE", "Get", 1), "Server.routes",
			"s.log(\"ready\")\n\tadded, err := patterns.New(context.Background(), os.Getenv, slog.Default())",
		},
		"gin, which the file does not import": {
			`"github.com/gin-gonic/gin"`, "router gin.IRouter", strings.Replace(method, "ROUTE", "GET", 1), "Server.routes",
			"s.router.Handle(route.Method, route.Colons(), gin.WrapH(added.Handler()))",
		},
		"echo, by another name": {
			`web "github.com/labstack/echo/v4"`, "router *web.Echo", strings.Replace(method, "ROUTE", "GET", 1), "Server.routes",
			"\t\"os\"\n\n\t\"acme.example/shop/internal/patterns\"\n\techo \"github.com/labstack/echo/v4\"\n)",
		},
		"gorilla, before a catch-all": {
			`"github.com/gorilla/mux"`, "router *mux.Router", "package main\n\nfunc (s *Server) routes() {\n\ts.router.Handle(\"/x\", nil)\n\ts.router.PathPrefix(\"/\").Handler(nil)\n}\n", "Server.routes",
			"s.router.Handle(route.Path, added.Handler()).Methods(route.Method)\n\t}\n\ts.router.PathPrefix",
		},
		"of two, the one that is spoken of": {
			`"net/http"`, "admin, router *http.ServeMux", strings.Replace(method, "ROUTE", "Handle", 1), "Server.routes",
			"s.router.Handle(route.Method+",
		},
		"of two, the one that is named": {
			`"net/http"`, "admin, router *http.ServeMux", strings.Replace(method, "ROUTE", "Handle", 1), "Server.routes:s.admin",
			"s.admin.Handle(route.Method+",
		},
		"embedded": {
			`"github.com/go-chi/chi/v5"`, "chi.Router", "package main\n\nfunc (s Server) routes() {\n\ts.Get(\"/x\", nil)\n}\n", "Server.routes",
			"s.Method(route.Method, route.Path, added.Handler())",
		},
		"handed on": {
			`"github.com/go-chi/chi/v5"`, "router chi.Router", "package main\n\nfunc routes(s *Server) {\n\ts.router.Get(\"/x\", nil)\n}\n", "routes",
			"s.router.Method(route.Method, route.Path, added.Handler())",
		},
		"made in a literal": {
			`"github.com/go-chi/chi/v5"`, "router chi.Router",
			"package main\n\nimport \"github.com/go-chi/chi/v5\"\n\nfunc main() {\n\ts := &Server{router: chi.NewRouter()}\n\ts.protect()\n\ts.serve()\n}\n", "main",
			"s.protect()\n\tadded, err",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys := module(map[string]string{
				"server.go": "package main\n\nimport " + tt.imports + "\n\ntype Server struct {\n\t" + tt.field + "\n}\n",
				"routes.go": tt.src,
			})
			w, err := foreign.Wire(fsys, "routes.go", tt.at, library)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(w.Data), tt.want) {
				t.Errorf("want %q in\n%s", tt.want, w.Data)
			}
			if tidy, err := format.Source(w.Data); err != nil || string(tidy) != string(w.Data) {
				t.Errorf("not formatted (%v):\n%s", err, w.Data)
			}
		})
	}
}

func TestWireRefuses(t *testing.T) {
	t.Parallel()
	fsys := module(map[string]string{
		"main.go":   "package main\n\nvar x = 1\n\nfunc main() {}\n",
		"held.go":   "package main\n\nimport \"net/http\"\n\ntype S struct{ h http.Handler }\n\nfunc (s S) f() {}\n\ntype T struct{ m *http.ServeMux }\n\nfunc (t T) f() {}\n",
		"broken.go": "package main\n\nfunc main() {\n",
		"two.go":    "package main\n\nimport \"net/http\"\n\nfunc f() {\n\ta := http.NewServeMux()\n\tb := http.NewServeMux()\n\tg(a, b)\n}\n",
	})
	for _, tt := range []struct{ file, fn, want string }{
		{"absent.go", "main", "absent.go: no such file in the module"},
		{"main.go", "serve", "main.go: has no function serve (it has x, main)"},
		{"main.go", "main", "main.go: main makes no router, and is handed none"},
		{"main.go", "x", "main.go: x makes no router"},
		{"two.go", "f", "two.go: f makes 2 routers: say which, as in two.go:f:a (it has a, b)"},
		{"two.go", "f:c", "two.go: f makes no router c"},
		{"held.go", "S.f", "held.go: S.f makes no router, and is handed none"},
		{"held.go", "T.f:t.c", "held.go: T.f makes no router t.c, and is handed none"},
		{"broken.go", "main", "broken.go:3:15: expected '}'"},
	} {
		if _, err := foreign.Wire(fsys, tt.file, tt.fn, library); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s:%s: %v, want %q in it", tt.file, tt.fn, err, tt.want)
		}
	}
}

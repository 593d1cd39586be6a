package foreign_test

import (
	"go/format"
	"strings"
	"testing"

	"github.com/seed-d146d9dc/scaffold/internal/foreign"
)

// A router that another function or method of the package made is one that can be wired.
func TestWireBuiltRouter(t *testing.T) {
	t.Parallel()
	const header = "package main\n\nimport \"net/http\"\n\nvar _ http.Handler\n\n"
	for name, tt := range map[string]struct {
		imports, builder, src, at string
		want, refused             string
	}{
		"gorilla": {
			imports: `"github.com/gorilla/mux"`, builder: "func newRouter() *mux.Router {\n\treturn mux.NewRouter()\n}",
			src: "func main() {\n\tr := newRouter()\n\t_ = http.ListenAndServe(addr, r)\n}", at: "main",
			want: "r.Handle(route.Path, added.Handler()).Methods(route.Method)\n\t}\n\t_ = http.ListenAndServe",
		},
		"gorilla, named": {
			imports: `"github.com/gorilla/mux"`, builder: "func newRouter() *mux.Router {\n\treturn mux.NewRouter()\n}",
			src: "func main() {\n\tvar r = newRouter().StrictSlash(true)\n\trun(r)\n}", at: "main:r",
			want: "\tdefer added.Close()\n\tfor _, route := range added.Routes() {\n\t\tr.Handle(",
		},
		"gorilla, behind a catch-all": {
			imports: `"github.com/gorilla/mux"`, builder: "func newRouter() *mux.Router {\n\tr := mux.NewRouter()\n\tr.PathPrefix(\"/\").Handler(nil)\n\treturn r\n}",
			src: "func main() {\n\tr := newRouter()\n\t_ = http.ListenAndServe(addr, r)\n}", at: "main",
			refused: "main.go: main has r of newRouter, which leads all requests somewhere: name that function instead",
		},
		"gin, with an error": {
			imports: `"github.com/gin-gonic/gin"`, builder: "func newRouter() (int, *gin.Engine, error) {\n\treturn 0, gin.New(), nil\n}",
			src: "func main() {\n\t_, r, err := newRouter()\n\tif err != nil {\n\t\treturn\n\t}\n\t_ = r.Run()\n}", at: "main",
			want: "err := newRouter()\n\tif err != nil {\n\t\treturn\n\t}\n\tadded, err := ",
		},
		"chi, of a method": {
			imports: `"github.com/go-chi/chi/v5"`, builder: "func (a *App) routes() chi.Router {\n\treturn chi.NewRouter()\n}",
			src: "func (a *App) Run() error {\n\th := a.routes()\n\treturn http.ListenAndServe(addr, h)\n}", at: "App.Run",
			want: "h.Method(route.Method, route.Path, added.Handler())",
		},
		"net/http, for a field": {
			imports: `"net/http"`, builder: "type App struct {\n\tmux *http.ServeMux\n}\n\nfunc newMux() *http.ServeMux {\n\treturn http.NewServeMux()\n}",
			src: "func main() {\n\ta := &App{mux: newMux()}\n\ta.Run()\n}", at: "main:a.mux",
			want: "a.mux.Handle(route.Method+",
		},
		"in each branch": {
			imports: `"github.com/labstack/echo/v4"`, builder: "func newEcho(debug bool) *echo.Echo {\n\treturn echo.New()\n}",
			src: "func main() {\n\te := newEcho(false)\n\tif debug {\n\t\te = newEcho(true)\n\t}\n\t_ = e.Start(addr)\n}", at: "main",
			want: "e = newEcho(true)\n\t}\n\tadded, err",
		},
		"beside one that is made there": {
			imports: `"net/http"`, builder: "func newAdmin() *http.ServeMux {\n\treturn http.NewServeMux()\n}",
			src: "func main() {\n\tadmin := newAdmin()\n\tm := http.NewServeMux()\n\tm.Handle(\"/\", admin)\n\tstartAll()\n}", at: "main",
			want: "m.Handle(route.Method+",
		},
		"served, beside one that is made there": {
			imports: `"net/http"`, builder: "func newMux() *http.ServeMux {\n\treturn http.NewServeMux()\n}",
			src: "func main() {\n\tapi := http.NewServeMux()\n\tm := newMux()\n\tm.Handle(\"/api/\", api)\n\t_ = http.ListenAndServe(addr, m)\n}", at: "main",
			want: "m.Handle(route.Method+",
		},
		"beside one that is handed on": {
			imports: `"net/http"`, builder: "func newAdmin() *http.ServeMux {\n\treturn http.NewServeMux()\n}",
			src: "func add(m *http.ServeMux) {\n\tadmin := newAdmin()\n\tm.Handle(\"/\", admin)\n}", at: "add",
			want: "m.Handle(route.Method+",
		},
		"beside the default mux": {
			imports: `"net/http"`, builder: "func newAdmin() *http.ServeMux {\n\treturn http.NewServeMux()\n}",
			src: "func main() {\n\tadmin := newAdmin()\n\thttp.Handle(\"/\", admin)\n\t_ = http.ListenAndServe(addr, nil)\n}", at: "main",
			want: "http.DefaultServeMux.Handle(route.Method+",
		},
		"a group of routes is none": {
			imports: `"github.com/gin-gonic/gin"`, builder: "func group() *gin.RouterGroup {\n\treturn gin.New().Group(\"/x\")\n}",
			src: "func main() {\n\tg := group()\n\trun(g)\n}", at: "main",
			refused: "main.go: main makes no router",
		},
		"a method of one name for several things": {
			imports: `"net/http"`, builder: "func (a A) new() *http.ServeMux { return nil }\n\nfunc (b B) new() int { return 0 }",
			src: "func main() {\n\tx := b.new()\n\trun(x)\n}", at: "main",
			refused: "main.go: main makes no router",
		},
		"another package's": {
			imports: `"net/http"`, builder: "func (a A) Client() *http.ServeMux { return nil }",
			src: "func main() {\n\tx := http.Client()\n\trun(x)\n}", at: "main",
			refused: "main.go: main makes no router",
		},
		"a handler": {
			imports: `"net/http"`, builder: "func newMux() *http.ServeMux {\n\treturn http.NewServeMux()\n}",
			src: "func main() {\n\tvar h http.Handler = newMux()\n\trun(h)\n}", at: "main",
			refused: "main.go: main makes no router",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := foreign.Wire(module(map[string]string{
				"main.go":   header + tt.src + "\n",
				"routes.go": "package main\n\nimport " + tt.imports + "\n\n" + tt.builder + "\n",
			}), "main.go", tt.at, library)
			wantWired(t, w, err, tt.want, tt.refused)
		})
	}
}

// wantWired wants the text in what was wired, formatted, or that in why it was not.
func wantWired(t *testing.T, w *foreign.Wiring, err error, want, refused string) {
	t.Helper()
	if refused != "" {
		if err == nil || !strings.Contains(err.Error(), refused) {
			t.Errorf("%v, want %q", err, refused)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(w.Data), want) {
		t.Errorf("want %q in\n%s", want, w.Data)
	}
	if tidy, err := format.Source(w.Data); err != nil || string(tidy) != string(w.Data) {
		t.Errorf("not formatted (%v):\n%s", err, w.Data)
	}
}

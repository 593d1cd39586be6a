package foreign_test

import (
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/foreign"
)

func TestAnswers(t *testing.T) {
	for call, want := range map[string][]foreign.Answer{
		`r.HandleFunc("POST /jobs", h)`:                   {{Line: 4, Method: "POST", Path: "/jobs"}},
		`r.Handle("/jobs/", h)`:                           {{Line: 4, Path: "/jobs/"}},
		`r.Get("/jobs/{id}", h)`:                          {{Line: 4, Method: "GET", Path: "/jobs/{id}"}},
		`r.POST("/jobs", h)`:                              {{Line: 4, Method: "POST", Path: "/jobs"}},
		`r.Handle("PUT", "/jobs/:id", h)`:                 {{Line: 4, Method: "PUT", Path: "/jobs/:id"}},
		`r.MethodFunc("delete", "/jobs", h)`:              {{Line: 4, Method: "DELETE", Path: "/jobs"}},
		`r.HandleFunc("/jobs", h).Methods("GET", "HEAD")`: {{Line: 4, Method: "GET", Path: "/jobs"}},
		`other.Get("/jobs", h)`:                           nil,
		`r.Get(path, h)`:                                  nil,
		`r.Use("/jobs")`:                                  nil,
		`r.Handle("jobs", h)`:                             nil,
	} {
		got := foreign.Answers("main.go", []byte("package main\n\nfunc f() {\n\t"+call+"\n}\n"), "r", nil, nil)
		for i := range want {
			want[i].File = "main.go"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", call, diff)
		}
	}
	field := []byte("package main\n\nfunc (a *App) f() {\n\ta.mux.Handle(\"GET /x\", h)\n\tmux.Handle(\"GET /y\", h)\n}\n")
	if got := foreign.Answers("x.go", field, ".mux", nil, nil); len(got) != 2 {
		t.Errorf("of any field mux: %v, want two", got)
	}
	if got := foreign.Answers("x.go", []byte("package"), "r", nil, nil); got != nil {
		t.Errorf("no Go: %v", got)
	}
}

// A path can be put together of what the package's files call constants.
func TestAnswersOfConstants(t *testing.T) {
	const src = `package main

import "net/http"

const scores = "/scores"

type path string

func (a *App) routes(given string) {
	const name = scores + "/{name}"
	m.HandleFunc("GET "+scores+"/{name}", a.score)
	m.HandleFunc("PUT "+name, a.score)
	m.HandleFunc(http.MethodPost+" "+all, a.score)
	m.Handle(string(typed), a.score)
	m.Handle(given, a.score)
	m.Handle(scores+given, a.score)
	m.Handle(unknown+"/x", a.score)
	m.Handle(fmt.Sprint(scores), a.score)
	m.Handle(none, a.score)
	m.Handle(root+"/x", a.score)
	m.Method(http.MethodDelete, scores, a.score)
	m.Handle(scores, a.score).Methods(http.MethodGet)
	{
		scores := given
		m.Handle(scores, a.score)
	}
}
`
	pkg := map[string][]byte{
		"main.go":   []byte("package main\n\nconst scores = \"/other\"\n"), // as it was before
		"paths.go":  []byte("package main\n\nimport \"example.com/x\"\n\nconst (\n\tversion = \"/v1\"\n\tall     = version + \"/all\"\n\tnone    = version + x.X\n)\n"),
		"typed.go":  []byte("package main\n\nconst typed path = \"/typed\"\n"),
		"root_a.go": []byte("//go:build a\n\npackage main\n\nconst root = \"/a\"\n"),
		"root_b.go": []byte("//go:build !a\n\npackage main\n\nconst root = \"/b\"\n"),
		"broken.go": []byte("package main\n\nconst unknown ="),
		"other.go":  []byte("package other\n\nconst unknown = \"/other\"\n"),
	}
	want := []foreign.Answer{
		{File: "main.go", Line: 11, Method: "GET", Path: "/scores/{name}"},
		{File: "main.go", Line: 12, Method: "PUT", Path: "/scores/{name}"},
		{File: "main.go", Line: 13, Method: "POST", Path: "/v1/all"},
		{File: "main.go", Line: 14, Path: "/typed"},
		{File: "main.go", Line: 21, Method: "DELETE", Path: "/scores"},
		{File: "main.go", Line: 22, Method: "GET", Path: "/scores"},
	}
	if diff := cmp.Diff(want, foreign.Answers("main.go", []byte(src), "m", pkg, nil)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A router that another function builds has the routes that it is given there.
func TestAnswersOfABuilder(t *testing.T) {
	fsys := module(map[string]string{
		"main.go":   "package main\n\nimport \"net/http\"\n\nfunc main() {\n\tr, err := build()\n\tr.Handle(\"/x\", h)\n\t_ = http.ListenAndServe(err, r)\n}\n",
		"routes.go": "package main\n\nimport \"net/http\"\n\nfunc build() (*http.ServeMux, string) {\n\tm, other := http.NewServeMux(), http.NewServeMux()\n\tm.Handle(\"GET /jobs\", h)\n\tother.Handle(\"/y\", h)\n\tif x {\n\t\treturn nil, \"\"\n\t}\n\treturn m, \"\"\n}\n\nfunc z() {\n\tm.Handle(\"/z\", h)\n}\n",
	})
	wantAnswers(t, fsys, foreign.Answer{File: "main.go", Line: 7, Path: "/x"}, foreign.Answer{File: "routes.go", Line: 7, Method: "GET", Path: "/jobs"})
}

func wantAnswers(t *testing.T, fsys fs.FS, want ...foreign.Answer) {
	t.Helper()
	w, err := foreign.Wire(fsys, "main.go", "main", library)
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := foreign.Sources(fsys, "main.go")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, w.Answers(pkg, nil)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The routes of a variable of the package come from all functions that speak of it.
func TestAnswersOfAVariable(t *testing.T) {
	fsys := module(map[string]string{
		"main.go":   "package main\n\nimport \"net/http\"\n\nfunc main() {\n\t_ = http.ListenAndServe(addr, m)\n}\n",
		"routes.go": "package main\n\nimport \"net/http\"\n\nvar m = http.NewServeMux()\n\nfunc init() {\n\tm.Handle(\"GET /jobs\", h)\n}\n\nfunc other(m M) {\n\tm.Handle(\"/z\", h)\n}\n",
	})
	wantAnswers(t, fsys, foreign.Answer{File: "routes.go", Line: 8, Method: "GET", Path: "/jobs"})
}

// What is said of gin is what gin 1.12 does.
func TestClashes(t *testing.T) {
	for _, tt := range []struct {
		router       foreign.Router
		method, path string
		with         foreign.Answer
		want         bool
	}{
		{foreign.NetHTTP, "POST", "/jobs", foreign.Answer{Method: "POST", Path: "/jobs"}, true},
		{foreign.NetHTTP, "POST", "/jobs", foreign.Answer{Method: "GET", Path: "/jobs"}, false},
		{foreign.NetHTTP, "POST", "/jobs", foreign.Answer{Path: "/jobs"}, false},
		{foreign.NetHTTP, "GET", "/jobs/{id}", foreign.Answer{Method: "GET", Path: "/jobs/{name}"}, true},
		{foreign.NetHTTP, "GET", "/{kind}/all", foreign.Answer{Method: "GET", Path: "/jobs/{id}"}, true},
		{foreign.NetHTTP, "GET", "/jobs", foreign.Answer{Method: "GET", Path: "/{"}, false},
		{foreign.Chi, "GET", "/jobs/{id}", foreign.Answer{Method: "GET", Path: "/jobs/{name}"}, true},
		{foreign.Gin, "GET", "/jobs/{id}", foreign.Answer{Path: "/jobs/:name"}, true},
		{foreign.Gin, "GET", "/jobs/{id}", foreign.Answer{Method: "GET", Path: "/jobs/:name/x"}, true},
		{foreign.Gin, "GET", "/jobs/{id}", foreign.Answer{Method: "POST", Path: "/jobs/:name/x"}, false},
		{foreign.Gin, "GET", "/jobs/{id}", foreign.Answer{Method: "GET", Path: "/jobs/:id/x"}, false},
		{foreign.Gin, "GET", "/jobs/{id}/x", foreign.Answer{Method: "GET", Path: "/jobs/:id/x"}, true},
		{foreign.Gin, "GET", "/jobs/{id}/x", foreign.Answer{Method: "GET", Path: "/jobs/*rest"}, true},
		{foreign.Gin, "GET", "/jobs/new", foreign.Answer{Method: "GET", Path: "/jobs/*rest"}, true},
		{foreign.Gin, "GET", "/jobs", foreign.Answer{Method: "GET", Path: "/jobs/*rest"}, false},
		{foreign.Gin, "GET", "/jobs/new", foreign.Answer{Method: "GET", Path: "/jobs/:id"}, false},
		{foreign.Gin, "GET", "/jobs/a{name}", foreign.Answer{Method: "GET", Path: "/jobs/a:id"}, true},
		{foreign.Gin, "GET", "/jobs/b{name}", foreign.Answer{Method: "GET", Path: "/jobs/a:id"}, false},
		{foreign.Gin, "GET", "/mail/{name}", foreign.Answer{Method: "GET", Path: "/jobs/:id"}, false},
		{foreign.Echo, "GET", "/jobs/{id}", foreign.Answer{Method: "GET", Path: "/jobs/:name/x"}, false},
		{foreign.Gin, "GET", "/jobs/{id}", foreign.Answer{Method: "GET", Path: "/jobs"}, false},
	} {
		if got := tt.with.Clashes(tt.router, tt.method, tt.path); got != tt.want {
			t.Errorf("%s: %s %s with %+v: %t", tt.router, tt.method, tt.path, tt.with, got)
		}
	}
}

package foreign_test

import (
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
		got := foreign.Answers("main.go", []byte("package main\n\nfunc f() {\n\t"+call+"\n}\n"), "r")
		for i := range want {
			want[i].File = "main.go"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", call, diff)
		}
	}
	field := []byte("package main\n\nfunc (a *App) f() {\n\ta.mux.Handle(\"GET /x\", h)\n\tmux.Handle(\"GET /y\", h)\n}\n")
	if got := foreign.Answers("x.go", field, ".mux"); len(got) != 2 {
		t.Errorf("of any field mux: %v, want two", got)
	}
	if got := foreign.Answers("x.go", []byte("package"), "r"); got != nil {
		t.Errorf("no Go: %v", got)
	}
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

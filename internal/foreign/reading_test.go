package foreign_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-d146d9dc/scaffold/internal/foreign"
)

// A router is followed below a prefix, and into functions that are handed it.
func TestAnswersOfWhatARouterIsHandedTo(t *testing.T) {
	module := foreign.Packages(fstest.MapFS{
		"main.go":           {Data: []byte("package main\n\nfunc f() {}\n")},
		"own.go":            {Data: []byte("package main\n\nconst base = \"/orders\"\n\nfunc own(ctx context.Context, g Router) {\n\tg.GET(\"/own\", h)\n\town(ctx, g)\n}\n\nfunc (s *Server) all(m *http.ServeMux) { m.Handle(\"GET /all\", h) }\n")},
		"billing/a.go":      {Data: []byte("package billing\n\nfunc Routes(m *http.ServeMux) { m.HandleFunc(\"GET /bills\", h) }\n\nfunc (b *Billing) Add(m *http.ServeMux) { more(m) }\n\nfunc more(r *http.ServeMux) { r.Handle(\"/more\", h) }\n")},
		"twice/a.go":        {Data: []byte("package twice\n\nfunc (A) Two(m *http.ServeMux) { m.Handle(\"/a\", h) }\n\nfunc (B) Two(m *http.ServeMux) { m.Handle(\"/b\", h) }\n")},
		"billing/a_test.go": {Data: []byte("package billing\n\nfunc Routes(m *http.ServeMux) {}\n")},
	}, "acme.com/shop")
	for body, want := range map[string]string{
		`o := r.Group("/orders"); o.GET("/:order/items", h)`:                                        "GET /orders/:order/items",
		`o := r.Group("/orders/"); o.GET("", h)`:                                                    "GET /orders",
		`r.Group("/a").Group("/:b").GET("/c", h)`:                                                   "GET /a/:b/c",
		`r.Group(base).GET("/x", h)`:                                                                "GET /orders/x",
		`r.Group(given).GET("/x", h)`:                                                               "",
		`r.Static("/demo", ".")`:                                                                    "GET /demo/*filepath",
		`r.Route("/orders", func(r chi.Router) { r.Get("/{id}", h) }); r.Get("/x", h)`:              "GET /orders/{id}, GET /x",
		`r.Route("/a", func(q chi.Router) { q.Route("/b", func(q chi.Router) { q.Get("/", h) }) })`: "GET /a/b",
		`r.Group(func(q chi.Router) { q.With(mw).Post("/x", h) })`:                                  "POST /x",
		`api := r.PathPrefix("/api").Subrouter(); api.HandleFunc("/x", h).Methods("PUT")`:           "PUT /api/x",
		`own(ctx, r.Group("/our"))`:                                                                 "GET /our/own",
		`s.all(r)`:                                                                                  "GET /all",
		`billing.Routes(r)`:                                                                         "GET /bills",
		`b := billing.New(); b.Add(r)`:                                                              "/more",
		`twice.New().Two(r)`:                                                                        "",
		`fmt.Println(r)`:                                                                            "",
		`g := func(q Router) { q.GET("/x", h) }; g(r)`:                                              "",
	} {
		src := "package main\n\nimport (\n\t\"fmt\"\n\t\"acme.com/shop/billing\"\n\t\"acme.com/shop/twice\"\n)\n\nfunc f() {\n\t" + body + "\n}\n"
		var got []string
		for _, a := range foreign.Answers("main.go", []byte(src), "r", module("acme.com/shop"), module) {
			if a.File == "" || a.Line == 0 {
				t.Errorf("%s: %+v has no place", body, a)
			}
			got = append(got, strings.TrimSpace(fmt.Sprint(a.Method, " ", a.Path)))
		}
		if diff := cmp.Diff(want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

package foreign_test

import (
	"strings"
	"testing"

	"github.com/seed-d146d9dc/scaffold/internal/foreign"
)

// The library is closed where the function returns, if the server has stopped by then.
func TestWireCloses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fn, head, body string
		closes         bool
	}{
		"main, whose end is the process's": {"main", "func main()", "go serve(mux)", true},
		"a function literal in main": {
			"main", "func main()",
			"provide(func(lc Lifecycle) http.Handler {\n\tmux := http.NewServeMux()\n\tgo http.ListenAndServe(addr, mux)\n\treturn mux\n})", false,
		},
		"it serves":                {"run", "func run() error", "return http.ListenAndServe(addr, mux)", true},
		"it serves in a condition": {"run", "func run()", "if err := serve(mux); err != nil {\n\tlog.Print(err)\n}", true},
		"it returns the server": {
			"start", "func start() *http.Server",
			"srv := &http.Server{Handler: mux}\ngo func() { _ = srv.ListenAndServe() }()\nreturn srv", false,
		},
		"a method of an app":               {"app.Start", "func (a *app) Start(ctx context.Context) error", "a.srv = &http.Server{Handler: mux}\ngo a.srv.ListenAndServe()\nreturn nil", false},
		"it returns what stops the server": {"serve", "func serve() (stop func())", "srv := &http.Server{Handler: mux}\ngo srv.ListenAndServe()\nreturn func() { srv.Close(); <-done }", false},
		"a hook of a life cycle": {
			"provide", "func provide(lc Lifecycle)",
			"srv := &http.Server{Handler: mux}\nlc.Append(fx.Hook{OnStart: func(context.Context) error {\n\tgo srv.ListenAndServe()\n\treturn nil\n}})", false,
		},
		"a group is given what serves": {
			"add", "func add(g *run.Group)", "g.Add(func() error { return http.ListenAndServe(addr, mux) }, nil)", false,
		},
		"a group is given it, and run": {
			"serve", "func serve() error", "g.Add(func() error { return http.ListenAndServe(addr, mux) }, nil)\nreturn g.Run()", true,
		},
		"another thing is run":  {"serve", "func serve() error", "go http.ListenAndServe(addr, mux)\nreturn exec.Command(browser, addr).Run()", false},
		"a group is waited for": {"run", "func run() error", "g.Go(func() error { return http.ListenAndServe(addr, mux) })\nreturn g.Wait()", true},
		"a signal is waited for": {
			"run", "func run(ctx context.Context) error", "go http.ListenAndServe(addr, mux)\n<-ctx.Done()\nreturn nil", true,
		},
		"it waits before it serves": {"run", "func run()", "<-migrated\ngo http.ListenAndServe(addr, mux)", false},
		"only the goroutine waits":  {"run", "func run()", "go http.ListenAndServe(addr, mux)\ngo func() { <-done }()", false},
		"it waits for the start":    {"run", "func run() error", "go serve(mux, ready)\n<-ready\nreturn nil", false},
		"it waits, and returns the server": {
			"start", "func start() (*http.Server, error)", "srv := &http.Server{Handler: mux}\ngo srv.Serve(l)\n<-up\nreturn srv, nil", false,
		},
		"a select of what ends it": {
			"run", "func run() error", "go func() { errs <- http.ListenAndServe(addr, mux) }()\nselect {\ncase err := <-errs:\n\treturn err\ncase <-ctx.Done():\n\treturn nil\n}", true,
		},
		"a select with a time": {
			"run", "func run() error", "go func() { errs <- http.ListenAndServe(addr, mux) }()\nselect {\ncase err := <-errs:\n\treturn err\ncase <-time.After(wait):\n\treturn nil\n}", false,
		},
		"a select that passes": {
			"run", "func run() error", "go func() { errs <- http.ListenAndServe(addr, mux) }()\nselect {\ncase err := <-errs:\n\treturn err\ndefault:\n}\nreturn nil", false,
		},
		"a block around it waits": {
			"run", "func run()", "if web {\n\tmux := http.NewServeMux()\n\tgo http.ListenAndServe(addr, mux)\n}\nwg.Wait()", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := "package main\n\nimport \"net/http\"\n\n" + tt.head + " {\n"
			if !strings.Contains(tt.body, "NewServeMux") {
				src += "\tmux := http.NewServeMux()\n"
			}
			src += tt.body + "\n}\n"
			w, err := foreign.Wire(module(map[string]string{"main.go": src}), "main.go", tt.fn, library)
			if err != nil {
				t.Fatal(err)
			}
			if w.Closes != tt.closes || strings.Contains(string(w.Data), "defer added.Close()") != tt.closes {
				t.Errorf("closes: %t, want %t:\n%s", w.Closes, tt.closes, w.Data)
			}
		})
	}
}

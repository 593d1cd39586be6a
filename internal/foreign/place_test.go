package foreign_test

import (
	"cmp"
	"go/format"
	"strings"
	"testing"

	"github.com/seed-d146d9dc/scaffold/internal/foreign"
)

// The lines come where each way to what serves the router passes: in place of HERE. Where
// there is no such place, it is refused.
func TestWirePlace(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ fn, src, refused string }{
		"a case of a switch": {src: `func main() {
	mux := http.DefaultServeMux
	switch {
	case debug:
		mux = http.NewServeMux()
	default:
		http.HandleFunc("/x", h)
	}
	HERE
	http.ListenAndServe(addr, mux)
}`},
		"both branches": {src: `func main() {
	var mux *http.ServeMux
	if debug {
		mux = http.NewServeMux()
		mux.HandleFunc("/debug", h)
	} else {
		mux = http.NewServeMux()
	}
	HERE
	if err := http.ListenAndServe(addr, mux); err != nil {
		log.Fatal(err)
	}
}`},
		"an else if": {src: `func main() {
	mux := http.DefaultServeMux
	if debug {
		log.Print("debug")
	} else if own {
		mux = http.NewServeMux()
	}
	HERE
	serve(mux)
}`},
		"made, and made anew in a branch": {src: `func main() {
	mux := http.NewServeMux()
	if debug {
		mux = http.NewServeMux()
	}
	HERE
	serve(mux)
}`},
		"a type switch, and more behind it": {src: `func main() {
	mux := http.DefaultServeMux
	switch config.(type) {
	case string:
		mux = http.NewServeMux()
	}
	for _, p := range paths {
		if p != "" {
			mux.HandleFunc(p, h)
		}
	}
	HERE
	serve(mux)
}`},
		"a select": {src: `func main() {
	var mux *http.ServeMux
	select {
	case <-ready:
		mux = http.NewServeMux()
	case <-done:
		mux = http.NewServeMux()
	}
	HERE
	serve(mux)
}`},
		"a loop": {src: `func main() {
	mux := http.DefaultServeMux
	for range 3 {
		mux = http.NewServeMux()
	}
	HERE
	serve(mux)
}`},
		"served in the loop": {src: `func main() {
	var mux *http.ServeMux
	for range 3 {
		{
			mux = http.NewServeMux()
		}
		HERE
		serve(mux)
	}
}`},
		"a bare block": {src: `func main() {
	var mux *http.ServeMux
	{
		mux = http.NewServeMux()
		mux.HandleFunc("/x", h)
	}
	HERE
	go func() { serve(mux) }()
}`},
		"a block of its own": {src: `func main() {
	if debug {
		mux := http.NewServeMux()
		HERE
		serve(mux)
	}
	serve(nil)
}`},
		"the default mux in a branch": {src: `func main() {
	if debug {
		http.HandleFunc("/debug", h)
	}
	HERE
	http.ListenAndServe(addr, nil)
}`},
		"what is made of it serves in the branch": {src: `func main() {
	var mux *http.ServeMux
	if debug {
		mux = http.NewServeMux()
		app := newApp(mux)
		HERE
		app.Run()
	}
}`},
		"a branch that returns it early": {fn: "routes", src: `func routes() http.Handler {
	mux := http.NewServeMux()
	HERE
	if debug {
		return mux
	}
	mux.HandleFunc("/x", h)
	return mux
}`},
		"an error that is returned with it": {fn: "routes", src: `func routes() (http.Handler, error) {
	mux := http.NewServeMux()
	if err := load(); err != nil {
		return mux, err
	}
	mux.HandleFunc("/x", h)
	HERE
	return mux, nil
}`},
		"a named result": {fn: "routes", src: `func routes() (mux *http.ServeMux) {
	if debug {
		mux = http.NewServeMux()
	} else {
		mux = http.NewServeMux()
	}
	HERE
	return
}`},
		"a field": {fn: "App.routes", src: `func (a *App) routes() {
	switch {
	case debug:
		a.mux = http.NewServeMux()
	default:
		a.mux = http.DefaultServeMux
	}
	a.mux.HandleFunc("/x", h)
	HERE
}`},
		"a field that is made once": {fn: "App.ServeHTTP", src: `func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.mux == nil {
		a.mux = http.NewServeMux()
		HERE
	}
	a.mux.ServeHTTP(w, r)
}`},
		"a function literal that serves": {src: `func main() {
	var mux *http.ServeMux
	run := func() error {
		if debug {
			mux = http.NewServeMux()
		} else {
			mux = http.NewServeMux()
		}
		HERE
		return http.ListenAndServe(addr, mux)
	}
	log.Print(run())
}`},
		"a function literal that only makes it": {src: `func main() {
	mux := http.DefaultServeMux
	own := func() {
		mux = http.NewServeMux()
	}
	if debug {
		own()
	}
	HERE
	serve(mux)
}`},
		"a function literal that is the handler": {src: `func main() {
	http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux := http.NewServeMux()
		if debug {
			mux.HandleFunc("/x", h)
		}
		HERE
		mux.ServeHTTP(w, r)
	}))
}`},
		"made once by a function literal": {fn: "App.ServeHTTP", src: `func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.once.Do(func() {
		a.mux = http.NewServeMux()
		HERE
	})
	a.mux.ServeHTTP(w, r)
}`},
		"another variable of that name": {src: `func main() {
	if debug {
		mux := newMux()
		serve(mux)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/x", func(w http.ResponseWriter, mux *http.Request) { serveFile(w, mux) })
	HERE
	serve(mux)
}`},
		"a listener that serves nothing yet": {src: `func main() {
	mux := http.NewServeMux()
	l, _ := net.Listen("tcp", addr)
	mux.HandleFunc("/x", h)
	HERE
	http.Serve(l, mux)
}`},
		"served in each branch": {fn: "main:mux", src: `func main() {
	mux := http.DefaultServeMux
	if debug {
		mux = http.NewServeMux()
		serve(mux)
	} else {
		serve(mux)
	}
}`, refused: "main.go: main makes mux in line 8, and makes, serves or returns it in line 11"},
		"returned before it is made": {fn: "routes", src: `func routes(mux *http.ServeMux) http.Handler {
	if mux != nil {
		return mux
	}
	mux = http.NewServeMux()
	return mux
}`, refused: "in line 9, and makes, serves or returns it in line 7"},
		"made anew for another server": {fn: "main:mux", src: `func main() {
	var mux *http.ServeMux
	if debug {
		mux = http.NewServeMux()
		serve(mux)
		return
	}
	mux = http.NewServeMux()
	serve(mux)
}`, refused: "in line 8, and makes, serves or returns it in line 12"},
		"middleware behind a server": {src: `func main() {
	mux := chi.NewRouter()
	go serve(mux)
	mux.Use(h)
}`, refused: "puts middleware on mux in line 8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const header = "package main\n\nimport \"net/http\"\n\n"
			src := header + tt.src + "\n"
			if strings.Contains(src, "chi.") {
				src = strings.Replace(src, `"net/http"`, `"github.com/go-chi/chi/v5"`, 1)
			}
			before, after, _ := strings.Cut(src, "HERE\n")
			plain := strings.TrimRight(before, "\t") + after
			w, err := foreign.Wire(module(map[string]string{"main.go": plain}), "main.go", cmp.Or(tt.fn, "main"), library)
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("%v, want %q", err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, want, _ := strings.Cut(before, header)
			_, body, _ := strings.Cut(string(w.Data), "\nfunc ")
			if !strings.HasPrefix("func "+body, want+"added, ") || !strings.HasSuffix(body, "\n"+after) {
				t.Errorf("want the lines in\n%s\ngot\nfunc %s", tt.src, body)
			}
			if tidy, err := format.Source(w.Data); err != nil || string(tidy) != string(w.Data) {
				t.Errorf("not formatted (%v):\n%s", err, w.Data)
			}
		})
	}
}

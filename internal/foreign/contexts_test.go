package foreign_test

import (
	"strings"
	"testing"

	"github.com/seed-d146d9dc/scaffold/internal/foreign"
)

// What the library is started with ends when the server does, or later.
func TestWireContexts(t *testing.T) {
	t.Parallel()
	const (
		timeout = "ctx, cancel := context.WithTimeout(parent, wait)\n"
		signals = "ctx, stop := signal.NotifyContext(parent, os.Interrupt)\n"
		made    = "mux := http.NewServeMux()\n"
		serves  = "return http.ListenAndServe(addr, mux)\n"
		none    = "context.Background()"
	)
	for name, tt := range map[string]struct{ fn, head, body, ctx, lasting string }{
		"a parameter, and it serves":            {"run", "func run(ctx context.Context) error", made + serves, "ctx", "ctx"},
		"a parameter, and it returns":           {"routes", "func routes(start context.Context) http.Handler", made + "return mux\n", "start", "context.WithoutCancel(start)"},
		"one with a time, and it serves":        {"main", "func main()", timeout + "migrate(ctx)\ncancel()\n" + made + serves, none, none},
		"one with a time, and it returns":       {"routes", "func routes() http.Handler", timeout + "defer cancel()\n" + made + "return mux\n", none, none},
		"one with a deadline":                   {"run", "func run() error", "ctx, cancel := context.WithDeadlineCause(parent, end, nil)\ndefer cancel()\n" + made + serves, none, none},
		"a parameter that gets a time":          {"routes", "func routes(ctx context.Context) http.Handler", timeout + "defer cancel()\n" + made + "return mux\n", none, none},
		"a parameter that gets a time at times": {"run", "func run(ctx context.Context) error", "if wait > 0 {\n\tctx, cancel = context.WithTimeout(ctx, wait)\n}\n" + made + serves, none, none},
		"what was made of one with a time":      {"run", "func run() error", timeout + "defer cancel()\nctx = with(ctx)\n" + made + serves, none, none},
		"another one of that name":              {"run", "func run(ctx context.Context) error", "{\n\t" + timeout + "\tmigrate(ctx)\n\tcancel()\n}\n" + made + serves, "ctx", "ctx"},
		"a new one in its place":                {"run", "func run(ctx context.Context) error", timeout + "cancel()\nctx = context.Background()\n" + made + serves, "ctx", "ctx"},
		"one that a signal ends":                {"run", "func run() error", signals + "defer stop()\n" + made + serves, "ctx", "ctx"},
		"one that is cancelled at the end":      {"run", "func run() error", signals + made + "err := http.ListenAndServe(addr, mux)\nstop()\nreturn err\n", "ctx", "ctx"},
		"one that was cancelled":                {"run", "func run() error", signals + "stop()\n" + made + serves, none, none},
		"one that ends when it returns":         {"routes", "func routes() http.Handler", signals + "defer stop()\n" + made + "return mux\n", none, none},
		"one that its caller cancels":           {"routes", "func routes() (http.Handler, func())", signals + made + "return mux, stop\n", "ctx", "context.WithoutCancel(ctx)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := "package main\n\nimport (\n\t\"context\"\n\t\"net/http\"\n)\n\n" + tt.head + " {\n" + tt.body + "}\n"
			w, err := foreign.Wire(module(map[string]string{"main.go": src}), "main.go", tt.fn, library)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Join(w.Lines, "\n")
			if !strings.Contains(lines, ".New("+tt.ctx+", ") || !strings.Contains(lines, ".Start("+tt.lasting+")") {
				t.Errorf("want New with %s and Start with %s:\n%s", tt.ctx, tt.lasting, lines)
			}
		})
	}
}

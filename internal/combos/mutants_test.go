package combos

const templatePrefix = template + "/"

// A mutant is a way to break a template.
type mutant struct {
	name     string
	file     string
	old, new string // new is put at the end where there is no old
	gone     bool   // the file is left out
	want     string
	smallest string
}

// mutants are of the sorts that a change to a template brings.
var mutants = []mutant{
	{name: "an import too few in one join", file: "cmd/service/sse_pubsub.go",
		old: "\"" + templatePrefix + "internal/pubsub\"\n", want: "undefined: pubsub", smallest: "--with pubsub,sse"},
	{name: "an import of a package that is not there", file: "cmd/service/main.go",
		old: `"context"`, new: "\"context\"\n\n\t_ \"" + templatePrefix + "internal/nothing\"", want: "orders/internal/nothing", smallest: "--with none"},
	{name: "a package of a pattern that is not required", file: "internal/jobstatus/jobstatus.go",
		old: "import (", new: "import (\n\t_ \"" + templatePrefix + "internal/sse\"\n", want: "orders/internal/sse"},
	{name: "a library that is in no template", file: "internal/sse/hub.go",
		old: "import (", new: "import (\n\t_ \"github.com/spf13/cobra\"\n", want: "github.com/spf13/cobra", smallest: "--with sse"},
	{name: "a name of the other option's file", file: "internal/database/sqlite.go",
		new: "\nvar _ = pgx.ErrNoRows\n", want: "undefined: pgx", smallest: "--with database --set database=sqlite"},
	{name: "an unused variable under one option", file: "internal/database/postgres.go",
		new: "\nfunc _() { unused := 1 }\n", want: "declared and not used", smallest: "--with database --set database=postgres"},
	{name: "a name twice in two patterns' files of one package", file: "cmd/service/sse.go",
		new: "\ntype topicMessage struct{}\n", want: "topicMessage redeclared", smallest: "--with pubsub,sse"},
	{name: "a wrong verb, which vet sees", file: "cmd/service/main.go",
		new: "\nfunc _() { fmt.Printf(\"%d\", \"\") }\n", want: "vet: printf"},
	{name: "a copied lock, which vet sees, in a test", file: "internal/sse/hub_test.go",
		new: "\nfunc _() {\n\tvar wg sync.WaitGroup\n\tother := wg\n\t_ = other\n}\n", want: "copies lock", smallest: "--with sse"},
	{name: "a helper of a test that is another pattern's", file: "cmd/service/jobstatus_test.go",
		new: "\nvar _ = sseTestEnv\n", want: "undefined: sseTestEnv"},
	{name: "a file that is embedded and gone", file: "cmd/service/sse.html", gone: true,
		want: "no matching files found", smallest: "--with sse"},
	{name: "a file of a package that is gone", file: "internal/dlq/letter.go", gone: true, want: "undefined"},
	{name: "not formatted", file: "internal/retries/retries.go", new: "\nvar  _ = 1\n", want: "is not as gofmt formats it"},
	{name: "a syntax error in a file of production", file: "internal/upload/devs3/production.go", new: "\nfunc {\n", want: "expected"},
	{name: "a wiring method that app.go calls and that has another name", file: "cmd/service/dlq_pubsub.go",
		old: "setupDLQPubsub(", new: "setupDlqPubsub(", want: "setupDLQPubsub"},
	{name: "a route that another pattern has", file: "cmd/service/retries.go",
		old: `a.mux.Handle("`, new: `a.mux.Handle("GET /dlq", nil)
		a.mux.Handle("`, want: "both retries and dlq have route GET /dlq", smallest: "--with database,workers,retries,dlq --set database=sqlite"},
	{name: "a route that a mux can't have beside another one", file: "cmd/service/retries.go",
		old: `a.mux.Handle("`, new: `a.mux.Handle("GET /jobs/{name}", nil)
		a.mux.Handle("`, want: "both jobstatus and retries have route GET /jobs/{id}"},
	{name: "a metric that another pattern has", file: "internal/sse/metrics.go",
		old: `Name: "sse_clients"`, new: `Name: "pubsub_delivered_total"`, want: "both pubsub and sse have metric pubsub_delivered_total", smallest: "--with pubsub,sse"},
	{name: "a table that another pattern has", file: "migrations/00500_upload_sqlite.sql",
		old: "CREATE TABLE uploads", new: "CREATE TABLE dead_letters", want: "have table or index dead_letters"},
	{name: "a wrong version", file: "go.mod",
		old: "modernc.org/sqlite v1.", new: "modernc.org/sqlite v1.1", want: "go.mod: requires modernc.org/sqlite v1.1", smallest: "--with database --set database=sqlite"},
	{name: "a name that is not there, on another system", file: "internal/pubsub/lock_other.go",
		new: "\nvar _ = nothing\n", want: "undefined: nothing", smallest: "--with pubsub"},
	{name: "a test that does not compile on another system", file: "cmd/service/sse_other_test.go",
		new: "\nvar _ = nothing\n", want: "undefined: nothing", smallest: "--with sse"},
	{name: "YAML that is none under one option", file: "compose.yaml.tmpl",
		new: "{{ if eq (.Option \"database\") \"postgres\" }}\n  broken: [\n{{ end }}", want: "compose.yaml: yaml:", smallest: "--with database --set database=postgres"},
	{name: "a workflow that is no YAML", file: ".github/workflows/ci.yml.tmpl", new: "\n\tbroken\n", want: "ci.yml: yaml:"},
	{name: "a link to no page", file: "README.md.tmpl", new: "\n[more](docs/more.md)\n", want: "README.md: links to docs/more.md"},
	{name: "a link to the page of another pattern", file: "docs/patterns/sse.md", new: "\n[Jobs](workers.md)\n", want: "sse.md: links to workers.md", smallest: "--with sse"},
}

package combos

const templatePrefix = template + "/"

// mutants are ways to break a template, of the sorts that a change to one brings.
var mutants = []struct {
	name     string
	file     string
	old, new string // new is put at the end where there is no old
	gone     bool   // the file is left out
	want     string
	smallest string
}{
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
}

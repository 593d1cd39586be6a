# Services are compiled in many folders, and what the compiler makes of a package is
# not to depend on which: so it is made once.
export GOFLAGS := $(filter-out -trimpath,$(GOFLAGS)) -trimpath

.PHONY: test lint engines temporal combos bench golden generate

# Tests and, with what they leave of the processors, linters: tests wait much.
test:
	$(MAKE) --jobs=2 engines lint

# Tests on the real engines: installs what is missing, starts it on free loopback
# ports, and stops it again.
engines:
	./internal/engines/with ./internal/engines/test

# The workflows on Temporal's own server, which takes minutes to build.
temporal:
	./internal/engines/temporal/test

# The linters vet, too.
# What is linted in the templates is not again in the service with everything.
lint: LINT = GOGC=400 nice $(CURDIR)/bin/golangci-lint run
lint: bin/golangci-lint
	$(LINT) ./...
	$(LINT) --build-tags postgres,production ./templates/...
	for e in temporal stepfunctions; do $(LINT) --build-tags $$e,postgres ./templates/service/internal/workflow/... ./templates/service/cmd/service || exit; done
	for s in base live jobs uploads; do (cd golden/$$s && $(LINT) ./...) || exit; done

# Every selection of patterns and options, proved to build: how many, how many
# fail, and how long it took. `go test ./internal/combos -go` asks the go command.
combos:
	go test ./internal/combos -count=1 -v -run '^(TestEverySelectionBuilds|TestTheProofFails)$$'

# Figures of the tool (whole processes) and of the patterns.
bench:
	go run ./internal/bench
	go test -run '^$$' -bench . -benchmem ./internal/... ./templates/...

# Write what comes out now as what is expected; read the diff.
golden: generate
	go test ./golden -update -run '^(TestServices|TestPatterns|TestReadme)$$'

# The data for go.mod and go.sum, from this module's own requirements.
generate:
	go generate ./...

bin/golangci-lint: Makefile
	GOGC=400 GOBIN=$(CURDIR)/bin nice go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

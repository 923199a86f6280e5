# Every target is one command line; `make -n TARGET` shows it.
.DEFAULT_GOAL := help
TOOL := go tool -modfile=internal/tools/go.mod

.PHONY: help build release sbom vuln licences test test-race lint fmt demo bench fuzz cover browser cluster-up cluster-down cluster-test ci

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## both programs, into this folder
	go build -o . ./cmd/...

release: ## both programs as they are released: the same bytes from the same source, wherever it is; VERSION=v1.2.3
	go build -trimpath -buildvcs=false -ldflags '-s -w -X main.released=$(VERSION)' -o . ./cmd/...

sbom: ## the bill of materials of the program, CycloneDX, into kovra.cdx.json
	go tool -modfile=internal/tools/supply/go.mod cyclonedx-gomod app -json -licenses -packages=false -main cmd/kovra -output kovra.cdx.json .

vuln: ## known vulnerabilities that our code can reach, with the newest database
	VULNDB=latest .ci/run vuln

licences: ## what the programs link, and under which licences
	.ci/run licences

test: ## all tests but those of browsers, clusters and load; those of fixtures skip without them
	go test ./...

test-race: ## all tests with the race detector, fewer chaos seeds
	go test -race -short ./...

lint: ## the conventions that a machine can check (the first run builds the linter, some minutes)
	$(TOOL) golangci-lint run

fmt: ## format the code
	$(TOOL) gofumpt -w .

demo: ## everything on this machine, no account needed
	go run ./cmd/kovra-demo

bench: ## all benchmarks, one package after the other
	go test -p 1 -run '^$$' -bench . -benchmem ./...

fuzz: ## each fuzz target for 20 s
	.ci/fuzz 20s

cover: ## test coverage over package borders, into coverage.out
	go test -coverpkg=./... -coverprofile=coverage.out ./... && go tool cover -func=coverage.out | tail -1

browser: ## the tests in headless Chromium; they fail without one
	KOVRA_TEST_BROWSER=1 go test -count=1 -timeout 30m -v -run Browser ./internal/e2e

cluster-up: ## a Kubernetes with Tekton on this machine, as root (the first time takes some minutes)
	internal/cluster/up

cluster-down: ## and away with it
	internal/cluster/down

cluster-test: ## the tests that want a cluster, on one of their own
	internal/cluster/test

ci: ## everything that is checked before a change is taken
	.ci/run

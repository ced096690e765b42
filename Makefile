# Every target says what it does: `make help`.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO      ?= go
# FTS5 for the search of logs; nomsgpack leaves a codec out that nobody asks for.
TAGS    := sqlite_fts5,nomsgpack
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/philiporange/supervisor/pkg/app.Version=$(VERSION)
# Stamping the VCS state would fail in a tree that git does not trust; the version comes from git describe instead.
export GOFLAGS := -buildvcs=false
export CGO_ENABLED := 1

GOLANGCI_VERSION := v2.12.2
GOFUMPT_VERSION  := v0.10.0
TOOLS := $(CURDIR)/.cache/bin

# Updates without downtime that `make bench` makes.
ROLLOUTS ?= 50

SUPERVISOR_DIR ?= $(HOME)/.supervisor
MANIFESTS      := $(or $(SUPERVISOR_MANIFESTS),$(SUPERVISOR_DIR)/manifests)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: check-tools
check-tools:
	@missing=; for tool in $(GO) gcc; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
		echo "missing:$$missing. Install Go 1.26 or newer (https://go.dev/dl) and gcc (Debian and Ubuntu: apt install gcc libc6-dev)." >&2; exit 1; \
	fi

.PHONY: build
build: check-tools dashboard ## Build bin/supervisor and bin/supervisor-keeper
	$(GO) build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o bin/supervisor ./cmd/supervisor
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/supervisor-keeper ./cmd/supervisor-keeper

# The dashboard is built anew when one of its sources is newer than what was built last. Without node the build goes on: the
# binary then serves a page that says what to do.
DASHBOARD := pkg/dashboard
.PHONY: dashboard
dashboard: ## Build the web app that is embedded (needs Node 20.19)
	@if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null || ! command -v npm >/dev/null; then \
		echo "note: the dashboard is left out: it needs Node 20.19 or newer with npm (https://nodejs.org); this machine has $$(node --version 2>/dev/null || echo none). Everything else is built." >&2; \
	else $(MAKE) --no-print-directory $(DASHBOARD)/dist/index.html.gz; fi

.PHONY: test-dashboard
test-dashboard: dashboard ## Check the types of the web app and run its unit tests; the browser tests are among those of Go
	cd $(DASHBOARD) && npm run --silent check && npm test --silent

.PHONY: screenshots
screenshots: build ## Pictures of every page, wide and narrow, light and dark, into .cache/screenshots
	$(GO) build -tags $(TAGS) -o .cache/demo ./pkg/testenv/demo
	node $(DASHBOARD)/e2e/screenshots.mjs .cache/demo bin .cache/screenshots

$(DASHBOARD)/node_modules/.package-lock.json: $(DASHBOARD)/package.json $(DASHBOARD)/package-lock.json
	cd $(DASHBOARD) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(DASHBOARD)/dist/index.html.gz: $(DASHBOARD)/node_modules/.package-lock.json $(shell find $(DASHBOARD)/src $(DASHBOARD)/public $(DASHBOARD)/scripts -type f 2>/dev/null) \
		$(DASHBOARD)/index.html $(DASHBOARD)/vite.config.ts $(DASHBOARD)/svelte.config.js $(DASHBOARD)/tsconfig.json
	cd $(DASHBOARD) && npm run --silent build

.PHONY: caddy
caddy: check-tools ## Build bin/caddy, a Caddy for CADDY_MODE=managed and for the tests; once for each version
	@.ci/caddy/build bin/caddy

.PHONY: run
run: build ## Build and run the daemon; an empty manifest folder is filled from examples/quickstart
	@mkdir -p "$(MANIFESTS)"; \
	if [ -z "$$(ls -A "$(MANIFESTS)")" ]; then \
		cp examples/quickstart/* "$(MANIFESTS)"; \
		echo "$(MANIFESTS) was empty: the quickstart is in it now. Try: curl http://127.0.0.1:9901"; \
		command -v node >/dev/null || echo "note: node is not installed; the quickstart's hello service needs it (apt install nodejs)" >&2; \
	fi
	@if [ "$${CADDY_MODE:-}" = managed ] || grep -qs '^CADDY_MODE=managed' "$(SUPERVISOR_DIR)/.env"; then \
		[ -x bin/caddy ] || command -v caddy >/dev/null || .ci/caddy/build bin/caddy; \
	elif ! command -v caddy >/dev/null; then echo "for addresses with HTTPS: CADDY_MODE=managed make run"; fi
	SUPERVISOR_DIR="$(SUPERVISOR_DIR)" exec bin/supervisor run

.PHONY: setup
setup: check-tools
	@.ci/setup
	@.ci/opencode

.PHONY: test
test: setup caddy generate-check test-dashboard ## Install what the tests need and run all of them
	$(GO) vet -tags $(TAGS) ./...
	# -count=1: the tests of pkg/testenv run programs that the test cache knows nothing of.
	$(GO) test -tags $(TAGS) -race -count=1 -timeout 10m ./...

.PHONY: bench
bench: build caddy bench-logs ## Measure: cold start, drop to exec, respawn, idle cost, stop, each beside its floor; updates under load; logs, metrics
	$(GO) run -tags $(TAGS) ./pkg/testenv/bench -bin bin $(BENCHFLAGS)
	$(GO) build -tags $(TAGS) -o .cache/demo ./pkg/testenv/demo
	cd $(DASHBOARD) && node bench/crowd.mjs ../../.cache/demo ../../bin
	cd $(DASHBOARD) && node bench/tail.mjs ../../.cache/demo ../../bin
	$(GO) test -tags $(TAGS) -run - -bench 'RouteChange|RequestsWhileRoutesChange' -benchtime 20x ./pkg/testenv
	$(GO) test -tags $(TAGS) -run - -bench RollingUpdates -benchtime $(ROLLOUTS)x -timeout 60m ./pkg/testenv

.PHONY: bench-logs
bench-logs: ## Measure: output into files beside its floor, rows into the index, search, streams, samples, history, a flood into a small disk
	$(GO) test -tags $(TAGS) -run - -bench Pump -benchtime 1x ./pkg/keeper
	$(GO) test -tags $(TAGS) -run - -bench 'Ingest|CountFlood' -benchtime 500000x ./pkg/logs
	$(GO) test -tags $(TAGS) -run - -bench MillionRows -benchtime 50x ./pkg/logs
	$(GO) test -tags $(TAGS) -run - -bench ThousandLines -benchtime 5x ./pkg/logs
	$(GO) test -tags $(TAGS) -run - -bench 'Sample|History/r' -benchtime 20x ./pkg/metrics
	$(GO) test -tags $(TAGS) -run - -bench LogStream -benchtime 5x ./pkg/testenv
	$(GO) test -tags $(TAGS) -count=1 -v -run FloodIntoASmallDisk ./pkg/testenv -flood 2000000000 | grep -v '^ *time='

.PHONY: generate
generate: ## Write the generated files anew (JSON Schemas, systemd units)
	$(GO) generate -tags $(TAGS) ./...

.PHONY: generate-check
generate-check: ## Fail when a generated file is not current
	@before="$$(git status --porcelain -- manifests examples api; git diff -- manifests examples api)"; \
	$(GO) generate -tags $(TAGS) ./...; \
	after="$$(git status --porcelain -- manifests examples api; git diff -- manifests examples api)"; \
	if [ "$$before" != "$$after" ]; then echo "generated files were not current; they are now: commit them" >&2; exit 1; fi

$(TOOLS)/golangci-lint-$(GOLANGCI_VERSION):
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/golangci-lint $@

$(TOOLS)/gofumpt-$(GOFUMPT_VERSION):
	GOBIN=$(TOOLS) $(GO) install mvdan.cc/gofumpt@$(GOFUMPT_VERSION)
	mv $(TOOLS)/gofumpt $@

.PHONY: lint
lint: $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION) ## Check style, import walls and common mistakes
	$< run --build-tags $(TAGS) ./...

.PHONY: fmt
fmt: $(TOOLS)/gofumpt-$(GOFUMPT_VERSION) ## Format the Go code
	$< -w api cmd controllers manifests pkg

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin .cache $(DASHBOARD)/node_modules
	find $(DASHBOARD)/dist -mindepth 1 ! -name .gitignore -delete

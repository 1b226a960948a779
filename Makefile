# Everything a developer does here. `make` alone prints the list.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

RATE     ?= 200
FUZZTIME ?= 20s
MINUTES  ?= 5
COUNT    ?= 1

# Where make run says its servers are; without it load, psql and redis go to make up, the last two inside its containers.
RUNNING := bin/running.env
# The Dockerfiles keep caches in mounts; docker before 23 builds those only when told to use BuildKit.
export DOCKER_BUILDKIT := 1
export COMPOSE_DOCKER_CLI_BUILD := 1
COMPOSE := $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose) -p freshet -f local/compose.yaml
NOTTY   := $(shell [ -t 0 ] || echo -T)
SERVERS := DATABASE_URL=postgres://postgres:postgres@127.0.0.1:5432/shop; if [ -f $(RUNNING) ]; then . ./$(RUNNING); fi

# The packages whose tests have a function with such a name.
WITH = $$(grep -rlE --include='*_test.go' '^func $(1)' . | xargs -n1 dirname | sort -u)

.PHONY: help run test build unit e2e soak fuzz bench bench-idle bench-micro profile lint fmt generate up down logs load psql redis images clean servers

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run the whole thing on this machine: servers, shop, function, poller (RATE=200)
	@go build -o bin/run ./local/stack/cmd/run
	@exec bin/run -rate $(RATE) -running $(RUNNING)

test: servers lint ## Run everything CI runs; it installs the servers it needs
	@echo 'what may allocate nothing; not all of it can be told under the race detector'
	FRESHET_REQUIRE_SERVERS=1 go test -pgo=off -run Allocates $(call WITH,Test.*Allocates)
	FRESHET_REQUIRE_SERVERS=1 go test -race -pgo=off -timeout 20m ./...

build: ## Build both programs into bin/
	CGO_ENABLED=0 go build -trimpath -tags lambda.norpc -o bin/ ./poller/cmd/poller ./functions/cmd/fn

unit: ## Run the quick tests: not those of both programs together
	go test -short -pgo=off $$(go list ./... | grep -v /local/e2e)

e2e: servers ## Run both programs against real servers, with faults
	FRESHET_REQUIRE_SERVERS=1 go test -race -pgo=off -timeout 20m -count=1 ./local/e2e/...

soak: servers ## Mix random loads and faults for MINUTES (5); SEED=n repeats the choices
	FRESHET_SOAK=1 FRESHET_SOAK_MINUTES=$(MINUTES) FRESHET_SOAK_SEED=$(SEED) FRESHET_REQUIRE_SERVERS=1 \
		go test -race -pgo=off -v -count=1 -timeout $$(( $(MINUTES) + 20 ))m -run '^TestSoak$$' ./local/e2e

fuzz: ## Run each fuzz target for FUZZTIME (20s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | xargs -rn1 dirname | sort -u | while read -r dir; do \
		for target in $$(go test -list '^Fuzz' "$$dir" | grep '^Fuzz'); do \
			echo "$$dir $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$dir"; \
		done; \
	done

bench: servers ## Measure all that local/bench/RESULTS.md has, but for the hour of rest (a quarter of an hour)
	go run ./local/bench/cmd/bench

bench-idle: servers ## Measure what both programs use while there is nothing to do (an hour)
	go run ./local/bench/cmd/bench -what idle

profile: servers ## Record how both programs spend their time, for the compiler (default.pgo of each; three minutes)
	go run ./local/bench/cmd/profile

bench-micro: servers ## Measure decoder, renderer, batches, rules and store, COUNT times (1), as benchstat reads it
	@FRESHET_REQUIRE_SERVERS=1 go test -run '^$$' -bench . -benchmem -count $(COUNT) $(call WITH,Benchmark)

lint: ## Check format, vet, staticcheck, and that generated files are fresh
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi
	go vet -pgo=off ./...
	GOFLAGS='$(GOFLAGS) -pgo=off' go tool staticcheck ./...
	go run ./local/generate -check

fmt: ## Format the code
	gofmt -w .

generate: ## Write the settings tables and sample settings anew
	go run ./local/generate

up: ## Run the whole thing with docker compose
	$(COMPOSE) up --build --detach $(if $(findstring docker-compose,$(COMPOSE)),,--wait)
	@echo 'running; make load sells, make psql and make redis look, make down stops'

down: ## Stop what make up started, and remove its data
	$(COMPOSE) down --volumes --remove-orphans

logs: ## Follow the logs of make up
	$(COMPOSE) logs --follow

load: ## Sell in the shop of make run or make up (RATE=200)
	@$(SERVERS); export DATABASE_URL; go run ./local/stack/cmd/shop -rate $(RATE)

psql: ## Open psql on the database of make run or make up
	@if [ -f $(RUNNING) ]; then . ./$(RUNNING); exec psql "$$DATABASE_URL"; fi; \
	exec $(COMPOSE) exec $(NOTTY) postgres psql --username=postgres shop

redis: ## Open redis-cli on the Redis of make run or make up
	@if [ -f $(RUNNING) ]; then . ./$(RUNNING); exec redis-cli -u "$$REDIS_URL"; fi; \
	exec $(COMPOSE) exec $(NOTTY) redis redis-cli

images: ## Build both container images
	docker build -f Dockerfile.poller -t freshet-poller .
	docker build -f Dockerfile.fn -t freshet-fn .

clean: ## Remove what was built
	rm -rf bin

servers:
	@go run ./local/server/cmd/ensure

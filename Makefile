# Reeve. `make help` lists the targets.

export CGO_ENABLED = 0
FUZZTIME ?= 20000x
USERS ?= 1000000
TOOL = go tool -modfile=.ci/tools.mod

.PHONY: help build run test long bench conformance check race fuzz golden clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

build: ## build bin/reeve, without cgo
	@go build -buildvcs=auto -ldflags "-s -w" -o bin/reeve ./cmd/reeve

run: build ## build, and serve the demo on 127.0.0.1:8080
	@bin/reeve --config fixtures/demo.yaml demo --if-empty
	@echo "Try, in another terminal:"
	@echo "  curl -g -u kilgore-trout:so-it-goes-1969 'http://127.0.0.1:8080/api/admin/v1/users?filter[status]=active&page[first]=3'"
	@bin/reeve --config fixtures/demo.yaml serve

test: ## run all tests, on SQLite and on a PostgreSQL server (what is missing is installed)
	@.ci/install
	@go vet -tags bench ./...
	@go test -timeout 20m -parallel 5 ./...

long: ## run the walks over 100,000 users, chaos for 30 s, 50 kills, 30 s without a database, 10 s of guesses at a password, a group of 1,000, and modules 500 times
	@.ci/install
	@go test ./cmd/reeve -run 'TestWalk|TestConcurrentChaos|TestKill|TestDatabaseGone|TestWorkersGoOn|TestAttack|TestManyStreams|TestDelivery|TestLargeGroup' -timeout 40m -users 100000 -chaos 30s -kills 50 -gone 30s -attack 10s -streams 2000 -deliveries 10000 -members 1000
	@race=; if command -v cc >/dev/null; then export CGO_ENABLED=1; race=-race; fi; \
		go test $$race ./cmd/reeve -run TestConcurrentModules -timeout 120m -cycles 500

bench: build ## measure Reeve against a hand-written floor, on USERS users (1000000)
	@.ci/install
	@go test -tags bench ./cmd/reeve -run TestBench -v -timeout 0 -users $(USERS)

conformance: ## hold the program to every check of JSON:API, on both databases, and print the table
	@.ci/install
	@go test -C cmd/reeve -run 'TestConformance$$' -table

check: ## gofmt, vet, staticcheck, the race detector, and the fuzz targets briefly
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not gofmt-ed: $$files"; exit 1; }
	@go vet -tags bench ./...
	@$(TOOL) staticcheck ./...
	@$(MAKE) --no-print-directory race fuzz

race: ## run the concurrency tests under the race detector, where there is a C compiler
	@if command -v cc >/dev/null; then CGO_ENABLED=1 go test -race -run 'Concurrent' ./...; else echo "no C compiler: the race detector is left out"; fi

fuzz: ## run each fuzz target FUZZTIME (20000x, or a duration as 10m)
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 50x $$package || exit 1; \
		done; \
	done

golden: ## write the golden documents anew; look at the difference before you commit it
	@go test ./cmd/reeve -run 'Golden|TestConformance$$' -update

clean: ## remove what was built, and the demo
	@rm -rf bin demo

# Every target works alone, from a fresh clone: it installs missing dependencies
# (scripts/install-deps) and builds what it needs.

CARGO_MODULE := cargo rustc --release --locked --lib --crate-type cdylib

.PHONY: help build run unit test asan valgrind check-long lint docs references fuzz matrix image image-test bench bench-quick bench-report climb bench-tunnel bench-instructions bench-lifecycle bench-scrape build-bench build-peers clean

help: ## list the targets
	@sed -n -e 's/^##@ \(.*\)/\n\1/p' -e 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 22

##@ Build and run

build: ## an nginx in build/sbin and the module in build/modules
	scripts/install-deps build
	$(CARGO_MODULE)
	scripts/layout build target/release

run: build ## an example application behind the proxy, until Ctrl-C
	scripts/run

##@ Test

unit: ## the tests of the pure layers alone: builds no nginx
	scripts/install-deps build
	cargo test --locked --no-default-features

test: ## the tests of the pure layers and of the module in nginx
	scripts/install-deps test
	$(MAKE) build
	cargo test --locked --no-default-features
	prove -r t

asan: ## the tests with AddressSanitizer in nginx and in the module
	scripts/asan

valgrind: ## tests of the tunnel with nginx under valgrind
	scripts/valgrind

check-long: ## what takes too long for every change
	scripts/install-deps test
	PROPTEST_CASES=250000 CARGO_PROFILE_RELEASE_LTO=off \
		cargo test --release --locked --no-default-features --test session random
	scripts/fuzz 300
	scripts/asan
	scripts/valgrind

docs: ## the documents as a book in build/book, their links, their spelling
	scripts/install-deps docs
	scripts/docs

lint: ## formatting, clippy, licences
	scripts/install-deps build
	scripts/lint

references: ## docs/variables.md and what else is generated from src/registry
	cargo xtask docs

fuzz: ## the frame scanner, the session and its format, each for a short while
	scripts/install-deps build
	scripts/fuzz

matrix: ## the module built for, and tested in, all supported versions of nginx; ARGS=1.22.1
	scripts/matrix $(ARGS)

##@ Image

image: ## the container image, with docker or podman
	scripts/image

image-test: ## the image, built offline, and its containers tested
	scripts/image-test

##@ Measure

bench: build-peers ## the module beside other proxies, 15 minutes; ARGS="--rows echo --peers haproxy"
	bench/compare $(ARGS)

bench-quick: build-peers ## the same in five minutes
	bench/compare --quick $(ARGS)

climb: build-bench ## how many WebSockets this machine holds, up to a million; ARGS="--target 100000"
	bench/climb $(ARGS)

bench-report: ## docs/performance.md, its plots and the README's comparison from what was measured
	scripts/install-deps peers
	build/venv/bin/python bench/report

bench-tunnel: build-bench ## memory and CPU of a WebSocket, websocket_tunnel on beside off
	bench/tunnel

bench-instructions: build-bench ## instructions of a message under callgrind, beside the baseline
	bench/instructions $(ARGS)

bench-lifecycle: build-bench ## what reloads and a stop do to open WebSockets
	bench/lifecycle

bench-scrape: build-bench ## CPU of a scrape of /metrics with 10,000 WebSockets open
	bench/scrape

build-peers: build-bench
	scripts/install-deps peers

build-bench: build
	scripts/install-deps bench
	cargo build --release --locked --package wsload

##@ Other

clean: ## remove what was built
	rm -rf build target

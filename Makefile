# ngx-elb-websocket. Every target installs what it needs where that is missing (scripts/install-deps)
# and works alone, from a fresh clone.

MODULE := ngx_http_elb_websocket_module
NGINX := build/sbin/nginx
CARGO_MODULE := cargo rustc --release --locked --lib --crate-type cdylib

.PHONY: help build run test lint clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

build: ## nginx in build/sbin, the module in build/modules
	scripts/install-deps build
	$(CARGO_MODULE)
	scripts/layout build target/release

clean: ## remove what was built
	rm -rf build target

# Thin names for the scripts in scripts/ and for cargo. `make` alone lists them.
CONFIG ?= config.toml

.DEFAULT_GOAL := help
.PHONY: help setup build run test lint bench models clean tools

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

tools:
	@scripts/tools.sh

setup: tools ## Fetch the pinned ONNX Runtime library into .runtime/, checked by sha256
	@python3 scripts/setup.py

build: tools ## Build target/release/mom
	@echo "build: cargo build --release --locked (a first build takes a few minutes)"
	@cargo build --release --locked

run: setup build ## Set up, build, verify the models and serve config.toml with two demo backends
	@scripts/run.sh $(CONFIG)

test: setup ## Run every test
	@scripts/test.sh

lint: tools ## Formatting, clippy, documentation, dependency rules
	@scripts/lint.sh

bench: setup build ## Measure this machine: the minds, and the proxy beside Envoy
	@scripts/bench.sh

models: setup build ## Assemble the bases of the decoder minds, then verify every mind: [BASES="NAME …"] [FROM=SOURCE]
	@"$$(scripts/venv.sh scripts/models/requirements.txt)" scripts/models $(BASES) $(if $(FROM),--from "$(FROM)")
	@target/release/mom models verify

clean: ## Remove build outputs and everything in .runtime/
	@cargo clean
	@rm -rf .runtime

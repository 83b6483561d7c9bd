# `make help` lists what can be done. Everything works in a fresh clone; nothing is fetched or built twice.
SHELL := /bin/bash
PROMPT ?= Explain in one sentence why the sky is blue.
HOST ?= 127.0.0.1
PORT ?= 1234
ARGS ?=
FUZZ_CASES ?= 100000
FUZZ_SECONDS ?= 300
SIMULATE_REQUESTS ?= 10000000
export PROMPT

# The build without the parking-lot scheduler is tested in the packages that have the feature.
WITHOUT_LOT := -p parkade-pool -p parkade-core -p parkade-server -p parkade --no-default-features
PYTEST := .venv/bin/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup run chat serve build wheel check fmt fuzz simulate picture test test-rust test-loom test-e2e test-python test-clients test-schema

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## fetch the default model, checked, into the data directory
	@scripts/setup model

build: ## the release binary, target/release/parkade
	cargo build --release --locked -p parkade

wheel: ## the Python package, a wheel in target/wheels for all Pythons from 3.9 on
	@scripts/setup tests
	.venv/bin/maturin build --release --locked --manifest-path crates/python/Cargo.toml --out target/wheels

run: setup build ## one answer in the terminal (PROMPT="..." for your own question)
	@cargo run --quiet --release --locked -p parkade -- run $(ARGS) -i "$$PROMPT"

chat: setup build ## chat in the terminal
	@cargo run --quiet --release --locked -p parkade -- run $(ARGS)

serve: setup build ## OpenAI's API on http://127.0.0.1:1234 (HOST=, PORT=, ARGS="...")
	@exec cargo run --quiet --release --locked -p parkade -- serve --host $(HOST) --port $(PORT) $(ARGS)

check: ## formatting, the shape of the house, and lints with and without the parking-lot scheduler
	cargo fmt --all --check
	python3 scripts/check_house.py
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy $(WITHOUT_LOT) --all-targets --locked -- -D warnings

fmt: ## format the Rust code
	cargo fmt --all

test: setup ## all tests: Rust in both feature sets, thread interleavings, then end to end with the openai client
	@scripts/setup tests
	@$(MAKE) --no-print-directory test-rust test-loom test-e2e test-python

# Tests that want PostgreSQL find it by PARKADE_TEST_POSTGRES. The workspace comes last: it leaves the binary with all features where the end-to-end tests look for it.
test-rust:
	cargo test --locked -p parkade-sync --features deadlock-detection --test deadlock
	scripts/with_postgres cargo test --locked $(WITHOUT_LOT)
	scripts/with_postgres cargo test --locked --workspace

# Everything is compiled with the flag, so it has a target directory of its own: the other builds stay as they are.
test-loom: ## the worker pool in all interleavings of small cases, by loom (ARGS="name")
	RUSTFLAGS="--cfg loom" cargo test --locked --target-dir target/loom -p parkade-pool --test loom -- $(ARGS)

# A case that fails is named, and its file is kept.
fuzz: ## damaged model files and calls (FUZZ_CASES=100000, files for FUZZ_SECONDS=300 at most), and a tenth as many templates
	PARKADE_FUZZ_CASES=$(FUZZ_CASES) PARKADE_FUZZ_SECONDS=$(FUZZ_SECONDS) PARKADE_FUZZ_LONGEST=10 \
		cargo test --locked --profile fuzz -p parkade-model --test fuzz -- --nocapture
	PARKADE_FUZZ_CASES=$$(($(FUZZ_CASES) / 10)) cargo test --locked --profile fuzz -p parkade-jinja --test fuzz -- --nocapture
	PARKADE_FUZZ_CASES=$(FUZZ_CASES) cargo test --locked --profile fuzz -p parkade-calls --test calls properties -- --nocapture

# A run that fails names its seed. `make test` has a tenth of it.
simulate: ## ten million requests through the whole engine in virtual time (SIMULATE_REQUESTS=10000000)
	PARKADE_SIMULATE_REQUESTS=$(SIMULATE_REQUESTS) cargo test --locked -p parkade-core --test simulation -- --nocapture

picture: setup build ## deploy/grafana/parkade.png from a loaded server, a real Prometheus and the dashboard's queries
	@scripts/setup tests
	@.venv/bin/pip install --quiet --disable-pip-version-check matplotlib==3.11.2
	PARKADE_BIN=$$(cargo metadata --format-version 1 --no-deps --locked | python3 -c \
		'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release/parkade \
		.venv/bin/python scripts/dashboard_picture.py $(ARGS)

test-e2e: ## the end-to-end tests alone, on the binary that is built (ARGS="-k name")
	$(PYTEST) tests/e2e $(ARGS)

# Their environment is their own: the tests' packages and the clients ask for other versions of the same.
test-clients: setup ## the clients that people use (langchain, litellm, npm's and so on), on the binary that is built (ARGS="-k name")
	@scripts/setup clients
	.venv-clients/bin/python -m pytest tests/clients $(ARGS)

# It has a Python environment of its own: the clients of the other tests need other versions of the same packages.
test-schema: setup ## schemathesis over the server's own description, on the binary that is built (not a part of `make test`)
	@scripts/setup schema
	.venv-schema/bin/python -m pytest tests/schema $(ARGS)

# The wheel is built among the workspace's tests, in their profile, and installed as anybody would. The command that it brings must live and
# die as the binary does, so some of the binary's tests run with it.
test-python: ## the Python package: built, installed into .venv, and tested (ARGS="-k name")
	@scripts/setup tests
	rm -rf target/wheels/as-tests
	CARGO=$(CURDIR)/scripts/cargo-as-tests .venv/bin/maturin build --locked \
		--manifest-path crates/python/Cargo.toml --out target/wheels/as-tests
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall target/wheels/as-tests/*.whl
	$(PYTEST) tests/python $(ARGS)
	[ -n "$(ARGS)" ] || PARKADE_BIN=$(CURDIR)/.venv/bin/parkade $(PYTEST) tests/e2e/test_lifecycle.py -k "drain or interrupt or ends_at_once"

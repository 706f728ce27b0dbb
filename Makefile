# The commands of the project. `make demo` and `make test` are the only two a newcomer needs: each sets
# up what it needs first, and says what it does.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
ENV := . scripts/env;

.PHONY: help setup build bin-path demo test test-rust test-cases test-python test-kill test-bench test-demo kill
.PHONY: differential nexmark test-differential test-nexmark test-property campaign test-campaign
.PHONY: test-instructions record-instructions scaling report
.PHONY: lint format wheel bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what building and testing needs: Debian packages, the Python environment
	@scripts/setup

build: setup ## Build the program for use (release)
	@$(ENV) cargo build --release --workspace --locked
	echo "built $$($(MAKE) -s bin-path)"

bin-path: ## Print where `make build` leaves the program
	@$(ENV) echo "$$CARGO_TARGET_DIR/release/tidemill"

demo: build ## Run the eight steps end to end on made-up events, with a kill -9 in the middle
	@$(ENV) "$$TIDEMILL_VENV/bin/python" examples/demo/demo.py --program "$$($(MAKE) -s bin-path)"

test: test-rust test-cases test-python test-differential test-property test-kill test-campaign test-bench test-nexmark test-instructions test-demo ## Run every test (dev build; a few long ones in their short form)

# Everything the other tests run comes out of the first; the second adds nothing but the run. `cargo test` alone
# makes no Python module.
test-rust: setup
	@$(ENV) cargo build --workspace --all-targets --locked
	cargo test --workspace --all-targets --locked
	cp --remove-destination "$$CARGO_TARGET_DIR/debug/lib_tidemill.so" python/tidemill/_tidemill.abi3.so

test-cases: test-rust
	@$(ENV)
	program="$$CARGO_TARGET_DIR/debug/tidemill"
	"$$program" test --unsupported skip tests/golden tests/cases
	"$$program" test --unsupported skip --restart --parallelism 1,4 tests/golden tests/cases
	"$$program" test --unsupported skip --kill --parallelism 4,1 tests/golden tests/cases
	"$$program" test --unsupported skip --state-backend rocksdb --restart tests/golden tests/cases
	"$$program" test --unsupported skip --state-backend rocksdb,memory --kill --parallelism 4,1,3 tests/golden tests/cases
	scripts/connector-docs --check "$$CARGO_TARGET_DIR/debug/tidemill"

# Spark's own reader is among the readers of what sinks write.
test-python: test-rust
	@scripts/setup spark
	$(ENV)
	export PYTHONPATH=python
	"$$TIDEMILL_VENV/bin/python" -m tidemill test --unsupported skip tests/golden tests/cases
	"$$TIDEMILL_VENV/bin/python" -m tidemill test --unsupported skip --kill --parallelism 1,4 tests/golden tests/cases
	"$$TIDEMILL_VENV/bin/python" -m tidemill test --unsupported skip --state-backend rocksdb --kill --parallelism 1,4 tests/golden tests/cases
	"$$TIDEMILL_VENV/bin/python" -m pytest -q python/tests tests/services tests/kill tests/campaign tests/sinks tests/sources

# The short form: pipelines that were drawn before, with the answers of the real Spark.
test-differential: test-rust
	@$(ENV)
	export PYTHONPATH=python
	"$$CARGO_TARGET_DIR/debug/tidemill" test --unsupported skip --kill --parallelism 4,1 tests/differential/recorded
	"$$TIDEMILL_VENV/bin/python" -m tidemill test --unsupported skip tests/differential/recorded

test-property: test-rust
	@$(ENV) PYTHONPATH=python "$$TIDEMILL_VENV/bin/python" -m pytest -q tests/property

test-kill: test-rust
	@$(ENV) "$$TIDEMILL_VENV/bin/python" tests/kill/kill.py --short --program "$$CARGO_TARGET_DIR/debug/tidemill"

# 200 cycles; the matrix of faults; the order of writes and fsyncs under strace; power cuts on paper.
test-campaign: test-rust
	@$(ENV)
	"$$TIDEMILL_VENV/bin/python" tests/campaign/campaign.py --short --program "$$CARGO_TARGET_DIR/debug/tidemill"
	"$$TIDEMILL_VENV/bin/python" tests/campaign/matrix.py --short --program "$$CARGO_TARGET_DIR/debug/tidemill"
	"$$TIDEMILL_VENV/bin/python" tests/campaign/fsync_order.py --program "$$CARGO_TARGET_DIR/debug/tidemill"
	"$$TIDEMILL_VENV/bin/python" tests/campaign/power_cut.py --short --program "$$CARGO_TARGET_DIR/debug/tidemill"

# The benchmark's answers, not its figures: those of a dev build mean nothing. The peers are not asked.
test-bench: test-rust
	@$(ENV) out=$$(mktemp -d)
	trap 'rm -rf "$$out"' EXIT
	"$$TIDEMILL_VENV/bin/python" bench/bench.py --program "$$CARGO_TARGET_DIR/debug/tidemill" --out "$$out" \
		--quick --peers none --only w1,w2,w3,kafka_to_kafka,kafka_to_delta,decode,epochs,latency,start,memory,state,log
	"$$TIDEMILL_VENV/bin/python" bench/scaling.py --program "$$CARGO_TARGET_DIR/debug/tidemill" --out "$$out" --quick
	"$$TIDEMILL_VENV/bin/python" bench/report.py --check "$$out"

# More than 5 % more instructions than tests/instructions/recorded.json holds fail.
test-instructions: test-rust
	@$(ENV) "$$TIDEMILL_VENV/bin/python" tests/instructions/instructions.py --program "$$CARGO_TARGET_DIR/debug/tidemill"

record-instructions: setup ## Record the instruction counts of today as those to keep (REASON="what changed, and what it buys")
	@$(ENV) cargo build --workspace --all-targets --locked
	"$$TIDEMILL_VENV/bin/python" tests/instructions/instructions.py --program "$$CARGO_TARGET_DIR/debug/tidemill" \
		--record --reason "$(REASON)"

test-nexmark: test-rust
	@$(ENV) out=$$(mktemp -d)
	trap 'rm -rf "$$out"' EXIT
	"$$TIDEMILL_VENV/bin/python" bench/nexmark/check.py --program "$$CARGO_TARGET_DIR/debug/tidemill" --out "$$out" \
		--events 5000 --rate 100 --files 6

test-demo: test-rust
	@$(ENV) "$$TIDEMILL_VENV/bin/python" examples/demo/demo.py --short --program "$$CARGO_TARGET_DIR/debug/tidemill"

kill: setup ## Kill a pipeline 200 times at random moments and compare what came out
	@$(ENV) cargo build --workspace --all-targets --locked
	"$$TIDEMILL_VENV/bin/python" tests/kill/kill.py --rounds 200 --program "$$CARGO_TARGET_DIR/debug/tidemill"

CYCLES ?= 2000
SINKS ?= delta,files,log,postgres,redis,kafka

campaign: setup ## Break the program at every step of an epoch, by sink and state (CYCLES=2000 SINKS=delta,files,..); goes on where its ledger ends
	@$(ENV) cargo build --workspace --all-targets --locked
	"$$TIDEMILL_VENV/bin/python" tests/campaign/campaign.py --cycles $(CYCLES) --sinks $(SINKS) \
		--program "$$CARGO_TARGET_DIR/debug/tidemill"
	"$$TIDEMILL_VENV/bin/python" tests/campaign/matrix.py --program "$$CARGO_TARGET_DIR/debug/tidemill"
	"$$TIDEMILL_VENV/bin/python" tests/campaign/power_cut.py --program "$$CARGO_TARGET_DIR/debug/tidemill"

PIPELINES ?= 500
SEED ?= 1

differential: setup ## Compare random pipelines with the real Spark (PIPELINES=500 SEED=1; about 2 s each)
	@scripts/setup spark
	$(ENV) cargo build --workspace --all-targets --locked
	cp --remove-destination "$$CARGO_TARGET_DIR/debug/lib_tidemill.so" python/tidemill/_tidemill.abi3.so
	"$$TIDEMILL_VENV/bin/python" tests/differential/differential.py --program "$$CARGO_TARGET_DIR/debug/tidemill" \
		--pipelines $(PIPELINES) --seed $(SEED)

nexmark: build ## Run Nexmark's queries over a million events, check them against DuckDB; prints a table
	@$(ENV) "$$TIDEMILL_VENV/bin/python" bench/nexmark/check.py --program "$$($(MAKE) -s bin-path)"

lint: setup ## Check formatting, lints, and that there is one arrow and one datafusion
	@$(ENV) cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	"$$TIDEMILL_VENV/bin/ruff" check --quiet .
	"$$TIDEMILL_VENV/bin/ruff" format --quiet --check .
	scripts/one-of-each

format: setup ## Format everything
	@$(ENV) cargo fmt --all
	"$$TIDEMILL_VENV/bin/ruff" check --quiet --fix . || true
	"$$TIDEMILL_VENV/bin/ruff" format --quiet .

wheel: setup ## Build the Python wheel into dist/ (release)
	@$(ENV) "$$TIDEMILL_VENV/bin/maturin" build --release --locked --out dist

BENCH ?=

bench: build wheel ## Measure Tidemill and its peers in one run, hours of it; then docs/benchmarks.md (BENCH="--only w1,w3 --peers spark")
	@scripts/setup bench
	$(ENV) "$$TIDEMILL_VENV/bin/python" bench/bench.py --program "$$($(MAKE) -s bin-path)" $(BENCH)
	"$$TIDEMILL_BATCH_VENV/bin/python" bench/report.py

report: setup ## Make docs/benchmarks.md of what was measured last
	@scripts/setup bench
	$(ENV) "$$TIDEMILL_BATCH_VENV/bin/python" bench/report.py

scaling: build ## Measure how cost grows with rows, keys, overlap, partitions, state and queries; then docs/benchmarks.md
	@scripts/setup bench
	$(ENV) "$$TIDEMILL_VENV/bin/python" bench/scaling.py --program "$$($(MAKE) -s bin-path)"
	"$$TIDEMILL_BATCH_VENV/bin/python" bench/report.py

clean: ## Remove what the checkout holds of builds and runs (the cache stays)
	@rm -rf demo-out dist bench/out bench/nexmark/out tests/differential/out tests/services/run python/tidemill/*.so

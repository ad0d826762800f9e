# Everything that a developer needs, in one word each. `make run` and `make test` install what they need.

CARGO ?= cargo
TARGET := x86_64-unknown-linux-gnu
BIN := target/release
AGENT_TARGET := target/agent

# Programs of the host: the compiler's linker, the VMM with its network, what images are made with, ssh.
HOST_PACKAGES := gcc libc6-dev qemu-system-x86 mmdebstrap uidmap kmod e2fsprogs openssh-client \
	debian-archive-keyring zstd
# What only the tests use.
TEST_PACKAGES := busybox-static docker-registry skopeo umoci iproute2 cpio python3 python3-venv bzip2 gzip lz4 xz-utils

SMOKE = BANGER_BIN_DIR=$(CURDIR)/$(BIN) BANGER_SMOKE_JOBS=$(JOBS) BANGER_SMOKE_SCENARIO=$(SCENARIO) \
	BANGER_SMOKE_VERBOSE=$(VERBOSE) $(CARGO) test --quiet --locked -p banger-smoke --test guests

# What judges the API's document, in an environment of its own: all versions, of what these need as well.
PYTHON_TOOLS := crates/banger-daemon/tests/requirements.txt

# The tests that boot real guests, by their targets, and the targets of all others. Both lanes select the whole workspace, so that
# one build serves them; tests/architecture holds that no target is in neither.
GUEST_TESTS := --test guests --test contract
CRATE_TESTS := --lib --bins --test it --test crates --test modules
TEST = BANGER_BIN_DIR=$(CURDIR)/$(BIN) $(CARGO) test --quiet --locked --workspace

.PHONY: help setup setup-tests python-tools setup-fuzz fuzz-tool build run test test-guests test-crates smoke smoke-list bench bench-check bench-images fuzz-short soak deny-tool lint clean

help: ## Shows this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1	\2/' | expand -t 20

setup: PACKAGES := $(HOST_PACKAGES)
setup-tests: PACKAGES := $(HOST_PACKAGES) $(TEST_PACKAGES)
setup-fuzz: PACKAGES := g++
setup setup-tests setup-fuzz: ## Installs the packages that are missing (apt, with sudo where needed)
	@missing="$$(for package in $(PACKAGES); do \
		test "$$(dpkg-query -W -f='$${db:Status-Status}' $$package 2>/dev/null)" = installed || echo $$package; done)"; \
	if test -n "$$missing"; then \
		echo "setup: installing" $$missing; \
		sudo=""; test "$$(id -u)" = 0 || sudo=sudo; \
		$$sudo apt-get update -qq && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing >/dev/null; \
	fi

python-tools: setup-tests
	@cmp -s $(PYTHON_TOOLS) target/python/tools || { \
		echo "setup: installing $(PYTHON_TOOLS)"; \
		rm -rf target/python && python3 -m venv target/python && \
		target/python/bin/pip install --quiet --disable-pip-version-check --no-deps -r $(PYTHON_TOOLS) && \
		target/python/bin/pip check && \
		cp $(PYTHON_TOOLS) target/python/tools; \
	}

build: setup ## Builds banger, bangerd and the guest's agent into target/release
	@RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --quiet --locked --profile agent \
		--target $(TARGET) --target-dir $(AGENT_TARGET) -p banger-agent
	@$(CARGO) build --quiet --locked --release -p banger-cli -p banger-daemon
	@cmp -s $(AGENT_TARGET)/$(TARGET)/agent/banger-agent $(BIN)/banger-agent || \
		install -m 0755 $(AGENT_TARGET)/$(TARGET)/agent/banger-agent $(BIN)/banger-agent

run: build ## Shows what it is about: one command in a real guest
	@$(BIN)/banger vm run --rm -- sh -c 'uname -a && cat /etc/os-release'

test: setup-tests python-tools build ## Runs all tests, those with real guests among them
	@$(TEST) --no-run
	@$(MAKE) --no-print-directory --jobs 2 --keep-going test-guests test-crates

test-guests:
	@$(TEST) $(GUEST_TESTS)

# Many of these wait for a deadline or another process: twice as many threads as cores, and beside the guests.
test-crates:
	@RUST_TEST_THREADS=$$((2 * $$(nproc))) $(TEST) --no-fail-fast $(CRATE_TESTS)

smoke: setup-tests build ## Runs the scenarios with real guests [JOBS=n] [SCENARIO=a,b] [VERBOSE=1]
	@$(SMOKE)

smoke-list: ## Lists the scenarios, what each proves, and those whose feature is missing
	@$(SMOKE) -- --list

bench: setup-tests build ## Measures on real guests and prints JSON
	@BANGER_BIN_DIR=$(CURDIR)/$(BIN) $(CARGO) bench --quiet --locked -p banger-smoke --bench figures
	@BANGER_BIN_DIR=$(CURDIR)/$(BIN) $(CARGO) bench --quiet --locked -p banger-daemon --bench scale
	@BANGER_BIN_DIR=$(CURDIR)/$(BIN) $(CARGO) bench --quiet --locked -p banger-linux-guest --bench cold_start
	@$(MAKE) --silent bench-images

bench-check: build ## Measures, and fails where a ratio is worse than recorded, beyond its noise
	@$(MAKE) --silent bench >target/bench.json
	@$(CARGO) run --quiet --locked -p banger-smoke --bin bench-check -- docs/bench-baseline.json target/bench.json

bench-images: setup-tests build ## Measures pulls from a registry of this host and prints JSON
	@BANGER_BIN_DIR=$(CURDIR)/$(BIN) $(CARGO) bench --quiet --locked -p banger-smoke --bench images

FUZZ_SECONDS ?= 60
# Stable Rust: without the address sanitizer a fuzzer needs nothing of a nightly, and the parsers are safe code.
FUZZ = $(CARGO) fuzz run --sanitizer none --codegen-units 16 --target-dir target/fuzz

fuzz-tool: setup-fuzz
	@command -v cargo-fuzz >/dev/null || $(CARGO) install --quiet --locked cargo-fuzz

fuzz-short: fuzz-tool ## Fuzzes each parser of what others wrote for [FUZZ_SECONDS=60], on stable Rust
	@set -e; for target in $$($(CARGO) fuzz list); do \
		mkdir -p target/fuzz/corpus/$$target target/fuzz/artifacts/$$target; \
		echo "fuzz: $$target"; \
		$(FUZZ) $$target target/fuzz/corpus/$$target fuzz/corpus/$$target -- -max_total_time=$(FUZZ_SECONDS) \
			-timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
			-artifact_prefix=target/fuzz/artifacts/$$target/ 2>target/fuzz/$$target.log \
			|| { tail -n 40 target/fuzz/$$target.log; exit 1; }; \
		grep -E 'number_of_executed_units|new_units_added|average_exec' target/fuzz/$$target.log; \
	done

soak: build ## Kills the daemon at random places, over and over, for [MINUTES=n], or 1000 times and 50 times with real guests
	@BANGER_BIN_DIR=$(CURDIR)/$(BIN) BANGER_SOAK_MINUTES=$(MINUTES) \
		$(CARGO) test --quiet --locked -p banger-daemon --test soak
	@BANGER_BIN_DIR=$(CURDIR)/$(BIN) BANGER_SOAK_MINUTES=$(MINUTES) \
		$(CARGO) test --quiet --locked -p banger-smoke --test soak

DENY_VERSION := 0.20.2

deny-tool:
	@test "$$($(CARGO) deny --version 2>/dev/null)" = "cargo-deny $(DENY_VERSION)" || \
		$(CARGO) install --quiet --locked --version $(DENY_VERSION) cargo-deny

# Licences, bans and sources need nothing but the lock file. Advisories need a database of others, which an offline host
# cannot fetch: that is said, and nothing else is let pass.
lint: deny-tool ## Checks style and dependencies: rustfmt, clippy, cargo-deny
	@$(CARGO) fmt --check
	@$(CARGO) clippy --quiet --locked --workspace --all-targets -- -D warnings
	@$(CARGO) deny --log-level error --locked check bans licenses sources
	@if $(CARGO) deny --log-level off --locked fetch db 2>/dev/null; then \
		$(CARGO) deny --log-level error --locked check --disable-fetch advisories; \
	else echo "lint: skipped: advisories, because the database of RustSec cannot be fetched"; fi

clean: ## Removes what was built
	@$(CARGO) clean

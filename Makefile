# make demo     build, and show everything once with real files and a real S3 server (KEEP=1: leave it running)
# make run      start Hayloft with a data directory under target/
# make test     everything that CI runs
# make test-all what takes longer too: schemathesis, many storms
# make schemathesis  ask a fresh instance all that its OpenAPI document allows, and much that it does not
# make check    format, lints, docs, layers; no tests
# make deny     licences and sources of all dependencies (needs cargo-deny)
# make tools    install what tests and demo need, under target/tools
# make clean    remove everything that was built

SHELL := /bin/sh
CARGO ?= cargo
TOOLS := $(CURDIR)/target/tools
WEED := $(TOOLS)/venv/bin/weed
RUN := $(CURDIR)/target/run
# The tools are up to date when this file is newer than the list of them.
STAMP := $(TOOLS)/installed

.PHONY: all check test test-all schemathesis storms tools deny demo run clean

all: check

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	# A number in brackets is one of the acceptance list, not a link.
	RUSTDOCFLAGS="-D warnings -A rustdoc::broken_intra_doc_links" $(CARGO) doc --locked --no-deps --document-private-items --quiet
	$(CARGO) test --locked --quiet --test it tidy::
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(MAKE) deny; fi

test: check tools
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    HAYLOFT_TEST_WEED="$(WEED)" $(CARGO) nextest run --locked --no-fail-fast; \
	else \
	    HAYLOFT_TEST_WEED="$(WEED)" $(CARGO) test --locked --no-fail-fast; \
	fi

test-all: test schemathesis storms

# HAYLOFT_STORMS is the number of random storms that one test goes through.
storms: tools
	HAYLOFT_STORMS=300 $(CARGO) test --locked --test it storm::

# SECONDS_PER_RUN: the whole of it. Its own environment: other pins than the rest of the tools.
SCHEMATHESIS := $(TOOLS)/schemathesis
SECONDS_PER_RUN ?= 240

schemathesis: $(SCHEMATHESIS)/installed
	$(CARGO) build --locked
	sh tests/schemathesis/run.sh target/debug/hayloft "$(SCHEMATHESIS)/bin/schemathesis" $(SECONDS_PER_RUN)

$(SCHEMATHESIS)/installed: tests/schemathesis/requirements.txt | $(STAMP)
	python3 -m venv --clear "$(SCHEMATHESIS)"
	"$(SCHEMATHESIS)/bin/pip" install --quiet --disable-pip-version-check -r tests/schemathesis/requirements.txt
	@touch "$@"

deny:
	$(CARGO) deny --locked --config packaging/deny.toml check bans licenses sources

tools: $(STAMP)

# Debian has the module venv in a package of its own.
$(STAMP): packaging/requirements.txt
	@mkdir -p "$(TOOLS)"
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { \
	    test "$$(id -u)" = 0 || { echo "Install it first: sudo apt-get install python3-venv" >&2; exit 1; }; \
	    apt-get update -qq && apt-get install -y -qq python3-venv; \
	}
	python3 -m venv --clear "$(TOOLS)/venv"
	"$(TOOLS)/venv/bin/pip" install --quiet --disable-pip-version-check -r packaging/requirements.txt
	@touch "$@"

demo: tools
	$(CARGO) build --locked --release
	bash packaging/demo.sh "$(CURDIR)/target/release/hayloft" "$(WEED)" "$(CURDIR)/target/demo"

run: $(RUN)/config.toml
	$(CARGO) build --locked --release
	@echo "In another terminal: target/release/hayloft --config target/run/config.toml status"
	target/release/hayloft --config $(RUN)/config.toml serve

$(RUN)/config.toml:
	@mkdir -p "$(RUN)"
	@printf 'data_dir = "%s"\nadmin_socket = "%s"\n' "$(RUN)/data" "$(RUN)/admin.sock" > "$@"

clean:
	$(CARGO) clean

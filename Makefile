# make demo     build, and show everything once with real files and a real S3 server (KEEP=1: leave it running)
# make run      start Hayloft with a data directory under target/
# make test     everything that CI runs
# make test-all what takes longer too: schemathesis, many storms
# make schemathesis  ask a fresh instance all that its OpenAPI document allows, and much that it does not
# make check    format, lints, docs, layers; no tests
# make golden   write the expected plans of tests/scenarios and the OpenAPI document anew; review the diff
# make mutants  break each rule of src/planner in turn and see that a test notices (half an hour on two quiet cores; goes on where it was)
# make deny     licences and sources of all dependencies (needs cargo-deny)
# make deb      build the Debian package into target/debian (TARGET=aarch64-unknown-linux-gnu: for arm64)
# make test-deb build it twice, then install, upgrade, remove and purge it in a clean Debian tree (as root)
# make tools    install what tests and demo need: under target/tools, with npm, and Debian packages when run as root
# make screenshots  every admin page in a real browser, to target/screenshots
# make bench-pages  server time of every admin page with a million files
# make bench-plan   what it takes to foresee a run over a million files
# make clean    remove everything that was built

SHELL := /bin/sh
CARGO ?= cargo
TOOLS := $(CURDIR)/target/tools
WEED := $(TOOLS)/venv/bin/weed
RUN := $(CURDIR)/target/run
DEBIAN := $(TOOLS)/debian
# The tools are up to date when this file is newer than the list of them.
STAMP := $(TOOLS)/installed

# The package's architecture, where it is not this machine's.
TARGET ?=
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
ifneq ($(TARGET),)
# Of gcc-aarch64-linux-gnu; ring finds its compiler by itself.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER ?= aarch64-linux-gnu-gcc
endif
CARGO_DEB := $(TOOLS)/bin/cargo-deb
CARGO_DEB_VERSION := 3.8.0

.PHONY: all check test test-all schemathesis storms golden mutants tools browser-tools deny deb test-deb demo run screenshots bench-pages bench-plan clean

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

# HAYLOFT_TEST_STORMS is the number of random storms that one test goes through.
storms: tools
	HAYLOFT_TEST_STORMS=300 PROPTEST_CASES=5000 $(CARGO) test --locked --test it -- storm:: random_operations:: planner::

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

golden:
	HAYLOFT_GOLDEN=1 $(CARGO) test --locked --test it every_scenario_plans
	HAYLOFT_GOLDEN=1 $(CARGO) test --locked --lib the_document_that_is_served
	@git status --short tests/scenarios src/server/admin

mutants: $(TOOLS)/bin/cargo-mutants
	PATH="$(TOOLS)/bin:$$PATH" nice -n 19 sh tests/mutants/run.sh

# The version that the figures in tests/README.md come from.
$(TOOLS)/bin/cargo-mutants:
	$(CARGO) install --locked --debug --root "$(TOOLS)" --version 27.1.0 cargo-mutants

deny:
	$(CARGO) deny --locked --config packaging/deny.toml check bans licenses sources

tools: $(STAMP) browser-tools $(DEBIAN)/installed

browser-tools:
	@sh tests/browser/install.sh "$(TOOLS)"

# Programs of Debian packages, taken out of them: an installed one would start a service.
$(DEBIAN)/installed:
	@mkdir -p "$(DEBIAN)/packages"
	@test "$$(id -u)" != 0 || apt-get update -qq
	cd "$(DEBIAN)/packages" && apt-get download -qq prometheus nginx
	for package in "$(DEBIAN)"/packages/*.deb; do dpkg -x "$$package" "$(DEBIAN)" || exit 1; done
	@touch "$@"

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

# cargo-deb also finds the libraries that the program needs, with dpkg-shlibdeps.
$(CARGO_DEB):
	$(CARGO) install --locked --root "$(TOOLS)" --version $(CARGO_DEB_VERSION) cargo-deb

# The manual is written by a program that runs here, whatever machine the package is for.
deb: $(CARGO_DEB)
	$(CARGO) build --locked --release $(if $(TARGET),--target $(TARGET))
	$(if $(TARGET),$(CARGO) build --locked)
	TARGET="$(or $(TARGET),$(HOST))" sh packaging/debian/prepare.sh \
	    target/$(if $(TARGET),debug,release)/hayloft target/package
	PATH="$(TOOLS)/bin:$$PATH" $(CARGO) deb --no-build --strip --locked $(if $(TARGET),--target $(TARGET)) $(DEB_FLAGS)

test-deb: deb
	PATH="$(TOOLS)/bin:$$PATH" CARGO="$(CARGO)" bash packaging/test-deb.sh

demo: tools
	$(CARGO) build --locked --release
	bash packaging/demo.sh "$(CURDIR)/target/release/hayloft" "$(WEED)" "$(CURDIR)/target/demo"

screenshots: tools
	HAYLOFT_TEST_WEED="$(WEED)" $(CARGO) test --locked --test it browser::pictures -- --ignored --nocapture
	@echo "The pictures are in target/screenshots"

bench-pages:
	$(CARGO) bench --locked --bench pages

bench-plan:
	$(CARGO) bench --locked --bench plan

run: $(RUN)/config.toml
	$(CARGO) build --locked --release
	@echo "In another terminal: target/release/hayloft --config target/run/config.toml status"
	target/release/hayloft --config $(RUN)/config.toml serve

$(RUN)/config.toml:
	@mkdir -p "$(RUN)"
	@printf 'data_dir = "%s"\nadmin_socket = "%s"\n' "$(RUN)/data" "$(RUN)/admin.sock" > "$@"

clean:
	$(CARGO) clean

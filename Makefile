# Each target sets up what it needs under this folder (.venv*, .srv) and nothing outside it; only
# test-servers installs packages of the system, where root runs it on Debian.
#   make demo | test | check | bench        what users and developers run
#   make bench-frameworks                   the cases of large libraries: --save, then --join
#   make sweep                              the scheduler's adaptive parts against fixed settings
#   make docs                               rewrites the generated parts of docs/
#   make torture                            seeded worlds of faults, mutants; docs/reliability.md
#   make test-pythons                       a fast subset on further Pythons, and without uvloop
#   make test-servers | test-integrations   tests against real servers and large libraries
# PYTHON=/path/to/python chooses the interpreter; BENCH="--quick", TORTURE="--minutes 60"
# and PYTEST="-k name" add options.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

usable = $(1) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
# The user's own python3 where it is new enough, else the newest that can make an environment.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do \
	if $(call usable,$$p); then echo $$p; break; fi; done)
BENCH ?=
SWEEP ?=
TORTURE ?=
PYTEST ?=
WORKERS ?= 2
FURTHER ?= 3.12 3.13
# Tests of the stores that talk to servers.
SERVER_TESTS := $(wildcard $(addprefix tests/kvstores/,azure gcs http s3))
# What runs on every Python: the library itself, and neither its tools nor its peers nor servers.
ASIDE := benchmarks differential docs examples integrations packaging test_no_skips.py $(SERVER_TESTS:tests/%=%)
FAST := -m "not slow" tests $(ASIDE:%=--ignore=tests/%)

BIN := .venv/bin
SERVERS := azurite gcs moto web
RUN_TESTS := -m pytest -n $(WORKERS) --timeout 120 --durations 10
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_CACHE_DIR := $(CURDIR)/.venv/pyright
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export npm_config_cache := $(CURDIR)/.venv/npm

.PHONY: help demo test check bench bench-frameworks sweep docs torture test-pythons test-servers test-integrations clean
.DELETE_ON_ERROR:

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

.venv/made:
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python of version 3.11 or later with venv and ensurepip was found." >&2; \
		echo "Install one, or name it: make ... PYTHON=/path/to/python3" >&2; exit 1; fi
	$(PYTHON) -m venv .venv
	@touch $@

.venv/has-%: .venv/made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@

demo: .venv/has-demo
	$(BIN)/python -m examples.demo

test: .venv/has-test $(SERVERS:%=.srv/has-%)
	$(BIN)/python $(RUN_TESTS) $(PYTEST)

# Servers that the tests talk to, each in a folder of its own.
.srv/has-gcs .srv/has-moto .srv/has-web .srv/has-node: .srv/has-%: tests/servers/%.txt | .venv/made
	@mkdir -p .srv
	$(BIN)/python -m venv .srv/$*
	.srv/$*/bin/python -m pip install --quiet --requirement tests/servers/$*.txt
	@touch $@

NPM := $(if $(shell command -v npm),,.srv/has-node)
.srv/has-azurite: tests/servers/azurite.txt | .venv/made $(NPM)
	@mkdir -p .srv
	PATH="$$PATH:$(CURDIR)/.srv/node/bin" npm install --silent --no-audit --no-fund \
		--prefix .srv/azurite $$(cat tests/servers/azurite.txt)
	@touch $@

check: .venv/has-check .venv/has-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	@# Named one by one: pyright itself does not look behind the links to drivers/ and kvstores/.
	find -L asynctensor -name '*.py' | $(BIN)/pyright --pythonpath $(BIN)/python -
	$(BIN)/python -m docs.generate --check

.venv/has-bench: .venv/has-torch
.venv/has-torch: .venv/made
	$(call small_torch,$(BIN)/python)
	@touch $@

bench: .venv/has-bench .srv/has-web
	$(BIN)/python -m benchmarks $(BENCH)

# Cases of libraries that take long to install, in the environment of their tests.
bench-frameworks: .venv-integrations/made .srv/has-web
	.venv-integrations/bin/python -m pip install --quiet --editable ".[bench]"
	.venv-integrations/bin/python -m benchmarks --only 'frameworks-*' $(BENCH)

torture: .venv/has-test
	$(BIN)/python -m tests.torture --mutants --kills 60 --crashes 30 --programmes 60 --write $(TORTURE)

docs: .venv/has-check
	$(BIN)/python -m docs.generate

# A Python of version $(1): on the PATH, or one that pyenv has installed.
find_python = for p in python$(1) "$$(pyenv root 2>/dev/null)"/versions/$(1).*/bin/python; do \
	if $(call usable,"$$p"); then echo "$$p"; break; fi; done

test-pythons: $(FURTHER:%=test-python-%) test-without-uvloop

test-python-%: pyproject.toml
	@python="$$($(call find_python,$*))"; \
	if [ -z "$$python" ]; then \
		echo "Python $* was not found: nothing was tested on it." >&2; \
		[ -z "$${CI_NO_SKIPS:-}" ]; exit; \
	fi; \
	if [ ! -e .venv-$*/has-test ] || [ pyproject.toml -nt .venv-$*/has-test ]; then \
		"$$python" -m venv .venv-$*; \
		.venv-$*/bin/python -m pip install --quiet --editable ".[test]"; \
		touch .venv-$*/has-test; \
	fi; \
	.venv-$*/bin/python $(RUN_TESTS) $(FAST)

test-without-uvloop: .venv/made pyproject.toml
	@if [ ! -e .venv-asyncio/has-test ] || [ pyproject.toml -nt .venv-asyncio/has-test ]; then \
		$(BIN)/python -m venv .venv-asyncio; \
		.venv-asyncio/bin/python -m pip install --quiet --editable ".[test]"; \
		.venv-asyncio/bin/python -m pip uninstall --quiet --yes uvloop; \
		touch .venv-asyncio/has-test; \
	fi
	@! .venv-asyncio/bin/python -c 'import uvloop' 2>/dev/null || { echo "uvloop is there" >&2; exit 1; }
	.venv-asyncio/bin/python $(RUN_TESTS) $(FAST)

test-servers: .venv/has-test $(SERVERS:%=.srv/has-%)
	bash tests/servers/debian.sh
	$(BIN)/python $(RUN_TESTS) --all-servers $(SERVER_TESTS) $(PYTEST)

# PyTorch without what GPUs need, a tenth of its size, where the package index has that.
small_torch = $(1) -m pip install --quiet torch==2.13.0+cpu 2>/dev/null || true

# What takes long to install has an environment of its own; `make test` runs the rest.
.venv-integrations/made: pyproject.toml | .venv/made
	@if [ ! -e .venv-integrations/bin/python ]; then $(BIN)/python -m venv .venv-integrations; fi
	$(call small_torch,.venv-integrations/bin/python)
	.venv-integrations/bin/python -m pip install --quiet --editable ".[test,integrations]"
	@touch $@

test-integrations: .venv-integrations/made .srv/has-azurite .srv/has-moto
	.venv-integrations/bin/python $(RUN_TESTS) --dist loadgroup --integrations \
		tests/integrations/heavy $(PYTEST)

clean:
	rm -rf .venv .venv-* .srv build dist *.egg-info examples/output benchmarks/.data

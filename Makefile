# Needs python3 (3.11 or newer) and make; everything else is installed into .venv, and again when pyproject.toml changes.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help run demo test soak fuzz lint bench clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/installed  ## follow every agent found on this machine (ARGS="--config FILE" and others are passed on)
	$(BIN)/forwarder run $(ARGS)

demo: .venv/installed  ## play recorded sessions through the real pipeline; no agent needed
	$(BIN)/forwarder demo $(ARGS)

test: .venv/installed-test  ## the whole test suite (ARGS="-k words" and others are passed on to pytest)
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

soak: .venv/installed-test  ## break a running forwarder for 30 minutes (ARGS="--seconds 600 --seed 7" chooses)
	$(BIN)/python -m tests.process.faults $(ARGS)

fuzz: .venv/installed-test  ## mutate what agents write for 10 minutes (ARGS="--seconds 60 --target codex --seed 7" chooses)
	$(BIN)/python -m tests.fuzz $(ARGS)

lint: .venv/installed-lint  ## style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright

bench: .venv/installed  ## measure on seeded corpora (ARGS="throughput latency idle memory start seen hook track" selects)
	$(BIN)/python benchmarks/run.py $(ARGS)

clean:  ## remove the environment and what the tools and benchmarks left behind
	rm -rf .venv dist build benchmarks/out .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz .coverage

.venv/installed: pyproject.toml | .venv/bin/pip
	$(PIP) install --editable '.[all]'
	@touch $@

.venv/installed-%: pyproject.toml .venv/installed
	$(PIP) install --group $*
	@touch $@

# pip before 25.1 cannot install dependency groups. When a step fails nothing is left, so that the next try starts afresh.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "forwarder needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	    { echo "this Python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade 'pip>=25.1' || { rm -rf .venv; exit 1; }

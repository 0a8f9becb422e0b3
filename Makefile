# Works with Python 3.11 or newer, pip and make, and nothing else: the targets set up .venv as far as they need it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# What was installed, and when: a second call costs nothing until pyproject.toml changes.
FOR_RUN := $(VENV)/run.stamp
FOR_TEST := $(VENV)/test.stamp

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint types format bench clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "make %-8s %s\n", $$1, $$2 }'

run: $(FOR_RUN) ## start the bridge with a stand-in for Infobip, send one message through, stay up
	@$(BIN)/smtpbridge demo

test: $(FOR_TEST) ## run every test
	@tests/integration/setup-system
	@$(BIN)/python -m pytest

lint: $(FOR_TEST) ## check the style
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(FOR_TEST) ## check the types
	@$(BIN)/mypy

format: $(FOR_TEST) ## put the code into shape
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(FOR_TEST) ## measure the parts; the whole: .venv/bin/python -m bench.queue_rate, and -m bench.queue_depth
	@$(BIN)/python -m pytest bench --benchmark-only

clean: ## remove what the targets made
	rm -rf $(VENV) .cache build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks _trial_temp*
	rm -f twisted/plugins/dropin.cache
	find smtpbridge tests twisted -name __pycache__ -type d -prune -exec rm -rf {} +

# A Python without the ensurepip module (Debian's, unless python3-venv is there) makes an environment only without pip;
# a pip that stands beside that Python then puts one in.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'smtpbridge needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...' >&2; exit 1; }
	@echo 'Setting up $(VENV) ...'
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
	  rm -rf $(VENV) && $(PYTHON) -m venv --without-pip $(VENV) 2>/dev/null && \
	  $(PYTHON) -m pip --quiet --disable-pip-version-check --python $(VENV)/bin/python install pip; } || { \
	  rm -rf $(VENV); \
	  echo 'No virtual environment can be made; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }

$(FOR_RUN): pyproject.toml | $(BIN)/python
	@echo 'Installing smtpbridge and what it needs ...'
	@$(PIP) install --editable .
	@touch $@

# Holds all that FOR_RUN does, so it counts as both.
$(FOR_TEST): pyproject.toml | $(BIN)/python
	@echo 'Installing smtpbridge and what its tests need ...'
	@$(PIP) install --editable '.[dev]'
	@touch $@ $(FOR_RUN)

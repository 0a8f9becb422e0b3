# Works with Python 3.11 or newer, pip and make, and nothing else: the targets set up .venv as far as they need it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# What was installed, and when: a second call costs nothing until pyproject.toml changes.
FOR_RUN := $(VENV)/run.stamp
FOR_TEST := $(VENV)/test.stamp
# What the image is made of and what builds the package, every file with its hash; and the tools for that, apart from the rest.
IMAGE_LOCK := etc/requirements/image.txt
BUILD_LOCK := etc/requirements/build.txt
TOOLS := .cache/tools
FOR_SUPPLY := $(TOOLS)/supply.stamp
COMPILE = $(TOOLS)/bin/uv pip compile --quiet --no-config --universal --python-version 3.12 --generate-hashes \
  --upgrade --custom-compile-command 'make lock'
FOR_FUZZ := $(VENV)/fuzz.stamp
FOR_DOCS := $(VENV)/docs.stamp

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-compiled wheel lint types format reference docs bench bench-parts fuzz lock pip-audit sbom clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "make %-13s %s\n", $$1, $$2 }'

run: $(FOR_RUN) ## start the bridge with a stand-in for Infobip, send one message through, stay up
	@$(BIN)/smtpbridge demo

test: $(FOR_TEST) ## run every test
	@tests/integration/setup-system
	@$(BIN)/python -m pytest

COMPILED_TESTS := tests/mail tests/smtp tests/dialect tests/relay
# In a copy of the tree, so nothing compiled ever lies beside the sources that are worked on.
COMPILED := .cache/compiled
test-compiled: $(FOR_TEST) ## compile the pure modules on a message's way, and run their tests against the machine code
	@rm -rf $(COMPILED) && mkdir -p $(COMPILED)
	@$(BIN)/python etc/build/compiled.py $(COMPILED)
	@cp -r tests bench twisted docs etc pyproject.toml README.md CHANGELOG.md $(COMPILED)/
	@cd $(COMPILED) && PYTHONPATH=$(CURDIR)/$(COMPILED) $(CURDIR)/$(BIN)/python -m pytest -p no:cacheprovider $(COMPILED_TESTS)

wheel: $(FOR_TEST) ## build a wheel for this machine, with those modules compiled, into dist/
	@HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(PIP) wheel --no-deps --wheel-dir dist .
	@ls dist/*.whl

lint: $(FOR_TEST) ## check the style
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(FOR_TEST) ## check the types
	@$(BIN)/mypy

format: $(FOR_TEST) ## put the code into shape
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

reference: $(FOR_TEST) ## write the references of keys and commands and the manual pages from the code
	@$(BIN)/python -m docs.generate

# Material is kept up until May 2027; its notice of that is switched off here. Zensical, which follows it, reads mkdocs.yml too.
docs: $(FOR_DOCS) ## build the pages as a site into site/; a link that leads nowhere is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict --clean
	@echo site/index.html

# The peers install themselves into .cache/bench; who cannot is left out by name.
PEERS ?= direct,smtpbridge,aiosmtpd,haraka,postfix
SCENARIOS ?= S1,S2,S3,S4,S5,S6,S7
ROUNDS ?= 3
SECONDS ?= 3
bench: $(FOR_TEST) ## race the bridge against its peers into bench/RESULTS.md; of a queue: -m bench.queue_rate, -m bench.queue_depth
	@tests/integration/setup-system
	@$(BIN)/python -m bench.race --peers $(PEERS) --scenarios $(SCENARIOS) --rounds $(ROUNDS) --seconds $(SECONDS)

bench-parts: $(FOR_TEST) ## measure the parts: readers, translation, ledger, store
	@$(BIN)/python -m pytest bench --benchmark-only

# One target, and for how long: make fuzz TARGET=server MINUTES=15
MINUTES ?= 1
TARGET ?=
fuzz: $(FOR_FUZZ) ## look for inputs that break a promise; MINUTES=n for each target, TARGET=name for one
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES) $(TARGET)

# The environments in the lock are those of pyproject.toml, [tool.uv]: Linux, any machine.
lock: $(FOR_SUPPLY) ## write anew what the image is made of, every file with its hash
	@$(COMPILE) pyproject.toml --extra css --output-file $(IMAGE_LOCK)
	@$(TOOLS)/bin/python -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' | \
	  $(COMPILE) - --output-file $(BUILD_LOCK)

pip-audit: $(FOR_SUPPLY) ## ask whether a hole is known in what the image is made of
	@for lock in $(IMAGE_LOCK) $(BUILD_LOCK); do \
	  $(TOOLS)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement $$lock || { \
	    echo "pip-audit: $$lock is not cleared: a known hole is listed above, or the advisory service did not answer" >&2; \
	    exit 1; }; \
	done

# The tool does not look for the version where hatchling does.
sbom: $(FOR_SUPPLY) ## write the bill of materials of the image (CycloneDX) into dist/
	@mkdir -p dist
	@version=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' smtpbridge/__init__.py) && \
	  $(TOOLS)/bin/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible \
	    --short-PURLs --output-file dist/sbom.json $(IMAGE_LOCK) && \
	  $(TOOLS)/bin/python -c 'import json, sys; bill = json.load(open("dist/sbom.json")); \
	    bill["metadata"]["component"]["version"] = sys.argv[1]; \
	    json.dump(bill, open(f"dist/smtpbridge-{sys.argv[1]}.cdx.json", "w"), indent=2)' $$version && \
	  rm dist/sbom.json && echo dist/smtpbridge-$$version.cdx.json

clean: ## remove what the targets made
	rm -rf $(VENV) .cache build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks _trial_temp*
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

$(FOR_FUZZ): pyproject.toml | $(BIN)/python
	@echo 'Installing smtpbridge and what looks for inputs ...'
	@$(PIP) install --editable '.[fuzz]'
	@touch $@ $(FOR_RUN)

$(FOR_DOCS): pyproject.toml | $(BIN)/python
	@echo 'Installing smtpbridge and what its pages are built with ...'
	@$(PIP) install --editable '.[docs]'
	@touch $@ $(FOR_RUN)

$(FOR_SUPPLY): | $(BIN)/python
	@echo 'Installing what looks after the lock ...'
	@rm -rf $(TOOLS) && mkdir -p .cache
	@$(PYTHON) -m venv $(TOOLS) >/dev/null 2>&1 || { \
	  rm -rf $(TOOLS); echo 'No virtual environment can be made; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@$(TOOLS)/bin/python -m pip --quiet --disable-pip-version-check install 'uv>=0.9,<1' 'pip-audit>=2.9,<3' 'cyclonedx-bom>=7,<8'
	@touch $@

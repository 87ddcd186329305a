# The steps people run are the steps that continuous integration runs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help install demo test check bench

help:  ## list these targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 18

install: $(VENV)/installed  ## make the environment in .venv and install radenhance into it

demo: install  ## train on synthetic radiographs, compare with real ones, draw a contact sheet
	$(BIN)/radenhance fit --config quickstart.yaml
	$(BIN)/radenhance showcase

test: install  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

check: $(VENV)/checkers  ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: NOT_RUN := benchmarks/harness.py benchmarks/on_gpu.py
bench: install  ## run the benchmarks that need no GPU at a quick size, and print their tables
	@failed=; for script in $(filter-out $(NOT_RUN),$(wildcard benchmarks/*.py)); do \
	  echo "== $$script"; $(BIN)/python $$script || failed="$$failed $$script"; \
	done; if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

$(VENV)/python: Makefile
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("radenhance needs Python 3.11 or later, $(PYTHON) is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/python pyproject.toml constraints.txt
	@echo "Installing radenhance into $(VENV): PyTorch and its CUDA libraries, about 3 GB, some minutes"
	$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/checkers: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	@touch $@

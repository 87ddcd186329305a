# The steps people run are the steps that continuous integration runs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help install demo test check bench docs lowest constraints audit release

help:  ## list these targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 20

install: $(VENV)/installed  ## make the environment in .venv and install radenhance into it, with all that its commands use

demo: install  ## train on synthetic radiographs, compare with real ones, draw a contact sheet
	$(BIN)/radenhance fit --config quickstart.yaml
	$(BIN)/radenhance showcase

test: $(VENV)/tests  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

check: $(VENV)/checkers  ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --exclude-files '^tests/data/'

bench: NOT_RUN := benchmarks/harness.py benchmarks/on_gpu.py
bench: install  ## run the benchmarks that need no GPU at a quick size, and print their tables
	@failed=; for script in $(filter-out $(NOT_RUN),$(wildcard benchmarks/*.py)); do \
	  echo "== $$script"; $(BIN)/python $$script || failed="$$failed $$script"; \
	done; if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

docs: $(VENV)/docs  ## build the documentation as a site, in build/site
	$(BIN)/mkdocs build --strict

lowest: $(VENV)/checkers  ## run the quickstart with the oldest versions that pyproject.toml allows (minutes, 5 GB)
	UV=$(abspath $(BIN))/uv tests/campaigns/lowest.sh build/lowest

constraints: $(VENV)/checkers  ## pin what pyproject.toml asks for and is not pinned yet; UPGRADE=1 pins all anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate $(if $(UPGRADE),--upgrade) --custom-compile-command 'make constraints' --output-file constraints.txt pyproject.toml

# What `pip install radenhance[demo,onnx,serve]` takes, with the hashes of its files: for audit and release.
WHAT_RUNS = $(BIN)/uv pip compile --quiet --python-version 3.11 --extra demo --extra jpeg12 --extra onnx --extra serve --constraint constraints.txt --no-header --no-annotate --generate-hashes pyproject.toml

audit: $(VENV)/releasers  ## ask the advisory database about the pinned versions (needs the network)
	@mkdir -p build
	$(WHAT_RUNS) --output-file build/requirements.txt
	$(BIN)/pip-audit --requirement build/requirements.txt --disable-pip

release: VERSION = $(shell $(BIN)/python -c 'import radenhance; print(radenhance.__version__)')
release: $(VENV)/releasers  ## make wheel, source, pins, SBOM (CycloneDX) and hashes in dist/, and tag the commit
	@test -z "$$(git status --porcelain)" || { echo "a release is of a commit: commit or remove what git status lists" >&2; exit 1; }
	@grep -q '^## $(VERSION)' CHANGELOG.md || { echo "CHANGELOG.md has no heading $(VERSION): give what is Unreleased that heading" >&2; exit 1; }
	@! git rev-parse --quiet --verify refs/tags/v$(VERSION) >/dev/null || { echo "v$(VERSION) is tagged already: raise __version__ in radenhance/__init__.py" >&2; exit 1; }
	rm -rf dist && mkdir dist
	$(BIN)/uv build --quiet
	$(WHAT_RUNS) --output-file dist/requirements-$(VERSION).txt
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file dist/radenhance-$(VERSION).cdx.json dist/requirements-$(VERSION).txt
	rm -f dist/.gitignore && cd dist && sha256sum * > SHA256SUMS
	git tag --annotate v$(VERSION) --message 'radenhance $(VERSION)'
	@echo 'dist/ holds the release; next: git push origin v$(VERSION), and publish dist/'

$(VENV)/python: Makefile
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("radenhance needs Python 3.11 or later, $(PYTHON) is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/python pyproject.toml constraints.txt
	@echo "Installing radenhance into $(VENV): PyTorch and its CUDA libraries, about 3 GB, some minutes"
	$(PIP) --editable '.[demo,onnx,serve]'
	@touch $@

$(VENV)/tests: $(VENV)/installed
	$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/checkers: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/releasers: $(VENV)/installed
	$(PIP) --editable '.[release]'
	@touch $@

$(VENV)/docs: $(VENV)/installed
	$(PIP) --editable '.[docs]'
	@touch $@

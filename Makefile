# Everything a newcomer needs: `make quickstart`, `make test`. The rest is for those who change the code.
PYTHON ?= python3
VENV ?= .venv
FAISS ?= cpu
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Spinning threads starve a busy machine; read by OpenMP before torch is imported.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: quickstart test test-slow site lint types format bench gpu-check clean help
.DEFAULT_GOAL := help

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "llactr needs Python 3.11 or newer, found %s: set PYTHON=/path/to/python3.11" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt -e '.[$(FAISS),encode,report]'
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) install --quiet -c constraints.txt -e '.[$(FAISS),test]'
	@touch $@

# Spark and Ray are heavy, and only slow tests run them.
$(VENV)/.installed-slow: $(VENV)/.installed-test
	$(PIP) install --quiet -c constraints.txt -e '.[$(FAISS),test,spark,ray]'
	@touch $@

quickstart: $(VENV)/.installed ## install, run the main job on MovieLens-100K, print where the report is
	$(BIN)/llactr quickstart

test: $(VENV)/.installed-test ## install with the test extra and run the tests, on up to four cores
	$(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile

test-slow: $(VENV)/.installed-slow ## the tests that take minutes; Spark's need a Java runtime
	$(BIN)/python -m pytest -m slow

bench: $(VENV)/.installed-test ## short versions of all benchmarks, into benchmarks/out/<date>/, where it says
	$(BIN)/python -m benchmarks.run_all

gpu-check: $(VENV)/.installed ## what a GPU does, against the CPU, into gpu-check.json; FAISS=gpu for its FAISS, too
	$(BIN)/python -m benchmarks.gpu_check --json gpu-check.json

site: $(VENV)/.installed-test ## the documents as a site, in site/
	PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lint: $(VENV)/.installed-test ## ruff, without changing anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test ## mypy, strict
	$(BIN)/mypy

format: $(VENV)/.installed-test ## ruff, changing what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment and the default workspace
	rm -rf $(VENV) .llactr

# Infinite Pages. `make` alone lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# The first Python that is new enough, unless one is named: make up PYTHON=python3.13
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; print("$(name)" if sys.version_info >= (3, 11) else "")' 2>/dev/null)))
VENV := .venv
RUN := $(VENV)/bin/python
TOOLS := $(VENV)/.installed
NODE := node_modules/.installed

.PHONY: help up test torture interleavings demo lint audit bench format requirements clean

help: ## This list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-13s %s\n", $$1, $$2 }'

up: $(TOOLS) $(NODE) ## Everything on this machine, demo data included; Ctrl-C stops it
	@$(VENV)/bin/infinite-pages up

demo: $(TOOLS) $(NODE) ## The story of a sale, a cover and a payout, with its figures, against a throwaway stack
	@$(VENV)/bin/infinite-pages demo

test: $(TOOLS) $(NODE) ## Every test, from nothing: Python on PostgreSQL 18, SQL on 18 and 16
	@command -v pg_prove >/dev/null || { echo \
		"make test: pg_prove is missing: apt-get install postgresql-15-pgtap libtap-parser-sourcehandler-pgtap-perl" >&2; exit 1; }
	$(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder
	$(RUN) -m tests.tools.pgtap --postgres 18
	$(RUN) -m tests.tools.pgtap --postgres 16 --upgraded

torture: $(TOOLS) $(NODE) ## Everything at once while its parts are killed, then every cent is checked; MINUTES=20, CLIENTS=32, SEED=n
	$(RUN) -m tests.torture --minutes $(or $(MINUTES),20) --clients $(or $(CLIENTS),32) $(if $(SEED),--seed $(SEED))

interleavings: $(TOOLS) ## Thousands of random stories of payments, payouts and covers; INTERLEAVINGS=5000, SEED=n repeats a run
	INTERLEAVINGS=$(or $(INTERLEAVINGS),5000) $(RUN) -m pytest -q tests/test_property.py

lint: $(TOOLS) ## Style, types and SQL, down to the coverage of the SQL functions
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy api tests bench
	$(RUN) -m tests.tools.lint_sql
	$(RUN) -m tests.tools.coverage --check

audit: $(TOOLS) $(NODE) ## Known holes in the packages, asked of PyPI and npm; what was not answered counts as not audited
	@failed=0; \
	$(VENV)/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements-dev.txt || failed=1; \
	npm audit || failed=1; \
	exit $$failed

bench: $(TOOLS) $(NODE) ## What purchases, HTTP, payouts, a long queue, a large library and cache cost; one report of all
	$(RUN) -m bench.purchase --large
	$(RUN) -m bench.rest
	$(RUN) -m bench.payouts
	$(RUN) -m bench.covers
	$(RUN) -m bench.library
	$(RUN) -m bench.cache
	$(RUN) -m bench.report

format: $(TOOLS) ## Put the Python in the house style
	$(VENV)/bin/ruff check --fix-only .
	$(VENV)/bin/ruff format .

requirements: $(TOOLS) ## Compile the pinned requirements again from the .in files
	$(VENV)/bin/pip-compile $(COMPILE) --output-file=requirements.txt requirements.in
	$(VENV)/bin/pip-compile $(COMPILE) --output-file=requirements-dev.txt requirements-dev.in

COMPILE := --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-find-links

clean: ## Remove what was installed and built; the data in .local stays
	rm -rf $(VENV) node_modules build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

$(TOOLS): requirements-dev.txt requirements.in pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is missing: install it, or name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) cannot make a virtual environment: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing the Python packages into $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(NODE): package.json package-lock.json .npmrc
	@command -v npm >/dev/null || { echo "make: npm is missing: install Node.js 20 or newer, which brings it" >&2; exit 1; }
	@echo "installing the npm packages into node_modules"
	@npm ci --silent
	@touch $@

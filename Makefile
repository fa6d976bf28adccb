# Commands for developing Latchkey. `make` lists them.
#
# PYTHON=python3.12 sets the interpreter for .venv, JOBS=4 the number of test processes,
# DB=sqlite|postgresql|both the databases, T=tests/unit what to test, MESSAGE="add x" the name of a migration.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
PINNED := $(VENV)/.pinned
AXE := node_modules/axe-core/axe.min.js
SERVED := .cache/bench-server

PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python3.14; do \
	"$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
HOST ?= 127.0.0.1
PORT ?= 8000
# One more than the number of CPU cores: many tests wait, for example for a page to load.
JOBS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
DB ?= both
T ?= tests

.PHONY: help run worker test test-scale coverage system-packages lint types fix bench migration messages screenshots pins clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# exec, so that Ctrl-C and kill signal the server itself.
run: $(PINNED) .flaskenv ## Serve http://localhost:8000 with SQLite, a worker and a mailbox (PORT=8001)
	@exec $(BIN)/flask --app wsgi serve --host $(HOST) --port $(PORT)

# Every flask command reads it. Without it, as in a deployment, the environment is production.
.flaskenv:
	@printf '%s\n' \
		'# Created by make run: flask commands in this directory use development settings,' \
		'# unless the environment or .env sets LATCHKEY_ENVIRONMENT. Remove this file before you deploy from here.' \
		'FLASK_APP=wsgi' 'LATCHKEY_ENVIRONMENT=development' >$@

worker: $(PINNED) ## Run a separate worker that sends messages
	@exec $(BIN)/flask --app wsgi worker

# A run of all tests also measures branch coverage, and fails below this percentage.
FLOOR := $(if $(filter tests,$(T)),$(if $(filter both,$(DB)),--floor=93))

test: $(PINNED) $(AXE) ## Run every test on SQLite and PostgreSQL
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(JOBS) --dist worksteal --db $(DB) $(FLOOR) $(T)

test-scale: $(PINNED) ## Run the tests for a large database, with a million users (USERS=100000)
	LATCHKEY_TEST_USERS=$(or $(USERS),1000000) $(BIN)/pytest --db postgresql tests/scale

# Measures only the test processes, not the servers that tests start or scripts in Chromium.
coverage: $(PINNED) $(AXE) ## Run every test and list lines and branches of app and config that weren't run
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(JOBS) --dist worksteal --db $(DB) --cov --cov-report=term $(if $(FLOOR),,--cov-fail-under=0) $(T)

system-packages: ## Install missing Debian packages that tests need (as root or with sudo)
	@.ci/system-packages

lint: $(PINNED) ## Check style, import rules and wording
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --cache-dir .cache/import-linter
	$(BIN)/python .ci/words.py

types: $(PINNED) ## Check types
	$(BIN)/mypy

fix: $(PINNED) ## Fix style automatically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(PINNED) $(AXE) $(SERVED)/.pinned ## Benchmark the production server against minimal apps and another provider (PEERS=1: and other packages)
	LATCHKEY_BENCH_PYTHON=$(CURDIR)/$(SERVED)/bin/python $(BIN)/python -m bench $(if $(PEERS),--peers)
	LATCHKEY_BENCH_PYTHON=$(CURDIR)/$(SERVED)/bin/python $(BIN)/python -m bench.provider
	LATCHKEY_BENCH_PYTHON=$(CURDIR)/$(SERVED)/bin/python $(BIN)/python -m bench.forward_auth

migration: $(PINNED) ## Generate a migration from the models (MESSAGE="add a table")
	@test -n "$(MESSAGE)" || { echo 'Describe the change: make migration MESSAGE="add a table"'; exit 2; }
	LATCHKEY_ENVIRONMENT=development $(BIN)/flask --app wsgi db upgrade
	LATCHKEY_ENVIRONMENT=development $(BIN)/flask --app wsgi db migrate --message "$(MESSAGE)"

messages: $(PINNED) ## Extract texts, update the catalogs in app/translations, and list missing translations
	$(BIN)/python .ci/messages.py

screenshots: $(PINNED) ## Take a screenshot of each page (docs/screenshots)
	$(BIN)/python -m tests.screenshots

COMPILE := CUSTOM_COMPILE_COMMAND="make pins" $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links $(UPGRADE)

pins: $(PINNED) ## Pin the dependencies in pyproject.toml, with hashes (UPGRADE=--upgrade to update them)
	$(COMPILE) --output-file requirements/production.txt pyproject.toml
	$(COMPILE) --extra otel --constraint requirements/production.txt --output-file requirements/otel.txt pyproject.toml
	$(COMPILE) --extra dev --extra otel --constraint requirements/otel.txt --output-file requirements/development.txt pyproject.toml
	for peer in django-allauth flask-security; do \
		$(COMPILE) --output-file bench/peers/$$peer.txt bench/peers/$$peer.in || exit; done
	touch $(PINNED)

clean: ## Remove everything that make created (but not var/, your data)
	rm -rf .flaskenv $(VENV) .cache node_modules .pytest_cache .mypy_cache .ruff_cache

$(PINNED): requirements/development.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with its venv module is required. Set it: make PYTHON=/path/to/python3 run"; exit 2; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

# Only production packages, for the benchmarked servers.
$(SERVED)/.pinned: requirements/production.txt $(PINNED)
	@test -x $(SERVED)/bin/python || $(BIN)/python -m venv $(SERVED)
	$(SERVED)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

# Only the accessibility tests need it; without npm, they are skipped.
$(AXE): package-lock.json
	@if command -v npm >/dev/null; then npm ci --silent --ignore-scripts && touch $@; \
	else echo "npm is not installed: the accessibility tests will be skipped (make system-packages installs it)"; fi

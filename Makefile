# Latchkey: every command for maintainers. `make` alone lists them.
#
# PYTHON=python3.12 chooses the interpreter of .venv; JOBS=4 the number of test processes;
# DB=sqlite|postgresql|both the databases; T=tests/unit what to test; MESSAGE="add x" names a migration.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
PINNED := $(VENV)/.pinned
AXE := node_modules/axe-core/axe.min.js
SERVED := .cache/bench

PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python3.14; do \
	"$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
HOST ?= 127.0.0.1
PORT ?= 8000
# One more than there are processors: many tests wait for a fault to pass or a page to load.
JOBS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
DB ?= both
T ?= tests

.PHONY: help run worker test test-scale coverage system-packages lint types fix bench migration messages screenshots pins clean

help: ## List what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# exec, so that Ctrl-C and kill reach the server itself.
run: $(PINNED) .flaskenv ## Serve http://localhost:8000 with an embedded database, worker and mailbox (PORT=8001)
	@exec $(BIN)/flask --app wsgi serve --host $(HOST) --port $(PORT)

# Every flask command reads it. A deployment has no such file, and runs in production.
.flaskenv:
	@printf '%s\n' \
		'# Made by make run: flask commands in this directory are for development,' \
		'# unless the environment or .env names another LATCHKEY_ENVIRONMENT. Remove it before you deploy from here.' \
		'FLASK_APP=wsgi' 'LATCHKEY_ENVIRONMENT=development' >$@

worker: $(PINNED) ## Deliver messages; LATCHKEY_QUEUE_URL says how workers are woken
	@exec $(BIN)/flask --app wsgi worker

# A run of everything also measures branch coverage, and fails under so many percent.
FLOOR := $(if $(filter tests,$(T)),$(if $(filter both,$(DB)),--floor=93))

test: $(PINNED) $(AXE) ## Run every test on SQLite and PostgreSQL
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(JOBS) --dist worksteal --db $(DB) $(FLOOR) $(T)

# Of the test processes alone: servers that tests start, and Chromium's scripts, are not counted.
test-scale: $(PINNED) ## Run the tests of a large service on a million users (USERS=100000)
	LATCHKEY_TEST_USERS=$(or $(USERS),1000000) $(BIN)/pytest --db postgresql tests/scale

coverage: $(PINNED) $(AXE) ## Run every test and list the lines and branches of app and config that none took
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(JOBS) --dist worksteal --db $(DB) --cov --cov-report=term $(if $(FLOOR),,--cov-fail-under=0) $(T)

system-packages: ## Install missing Debian packages that tests need (needs root or sudo)
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

bench: $(PINNED) $(AXE) $(SERVED)/.pinned ## Measure the production server beside two small Flask apps and another provider (PEERS=1 adds packages)
	LATCHKEY_BENCH_PYTHON=$(CURDIR)/$(SERVED)/bin/python $(BIN)/python -m bench $(if $(PEERS),--peers)
	LATCHKEY_BENCH_PYTHON=$(CURDIR)/$(SERVED)/bin/python $(BIN)/python -m bench.provider
	LATCHKEY_BENCH_PYTHON=$(CURDIR)/$(SERVED)/bin/python $(BIN)/python -m bench.forward_auth

migration: $(PINNED) ## Write a migration from the models (MESSAGE="add a table")
	@test -n "$(MESSAGE)" || { echo 'Say what changes: make migration MESSAGE="add a table"'; exit 2; }
	LATCHKEY_ENVIRONMENT=development $(BIN)/flask --app wsgi db upgrade
	LATCHKEY_ENVIRONMENT=development $(BIN)/flask --app wsgi db migrate --message "$(MESSAGE)"

messages: $(PINNED) ## Extract every text, update the catalogs in app/translations, and list what is missing
	$(BIN)/python .ci/messages.py

screenshots: $(PINNED) ## Take a picture of each page (docs/screenshots)
	$(BIN)/python -m tests.screenshots

COMPILE := CUSTOM_COMPILE_COMMAND="make pins" $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links $(UPGRADE)

pins: $(PINNED) ## Pin what pyproject.toml asks for, with hashes (UPGRADE=--upgrade takes newer ones)
	$(COMPILE) --output-file requirements/production.txt pyproject.toml
	$(COMPILE) --extra otel --constraint requirements/production.txt --output-file requirements/otel.txt pyproject.toml
	$(COMPILE) --extra dev --extra otel --constraint requirements/otel.txt --output-file requirements/development.txt pyproject.toml
	for peer in django-allauth flask-security; do \
		$(COMPILE) --output-file bench/peers/$$peer.txt bench/peers/$$peer.in || exit; done
	touch $(PINNED)

clean: ## Remove what make made (not var/, which holds your data)
	rm -rf .flaskenv $(VENV) .cache node_modules .pytest_cache .mypy_cache .ruff_cache

$(PINNED): requirements/development.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer, with its venv module, is needed. Name one: make PYTHON=/path/to/python3 run"; exit 2; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

# What production has, for the servers that are measured.
$(SERVED)/.pinned: requirements/production.txt $(PINNED)
	@test -x $(SERVED)/bin/python || $(BIN)/python -m venv $(SERVED)
	$(SERVED)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

# Only the accessibility tests need it; without npm they are skipped and say so.
$(AXE): package-lock.json
	@if command -v npm >/dev/null; then npm ci --silent --ignore-scripts && touch $@; \
	else echo "npm is not installed: the accessibility tests will be skipped (make system-packages installs it)"; fi

# release-ledger. `make` alone shows this menu.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
UV_VERSION := 0.13.9
# uv from the path when it is there, else in a private virtual environment: never the system Python.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
PY := .venv/bin/python
export UV_PYTHON_DOWNLOADS ?= never

.PHONY: help
help: ## show this menu
	@echo "release-ledger: the system of record for software releases"; echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.uv/bin/uv:
	@echo "uv is not on the path: putting it into .uv/ (once)"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; python3 is $$(python3 --version)"; exit 1; }
	@python3 -m venv .uv || { echo "python3 has no venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# The lock is installed exactly; a stamp spares the second start the look.
.venv/run.stamp: uv.lock pyproject.toml | $(if $(filter .uv/bin/uv,$(UV)),.uv/bin/uv)
	@echo "installing what the services need (once)"
	@$(UV) sync --frozen --inexact --no-group dev
	@touch $@

.venv/dev.stamp: uv.lock pyproject.toml | $(if $(filter .uv/bin/uv,$(UV)),.uv/bin/uv)
	@echo "installing what the services and their tests need (once)"
	@$(UV) sync --frozen
	@touch .venv/run.stamp $@

.PHONY: run
run: .venv/run.stamp ## install, start PostgreSQL, Kafka and all services, load the demo, serve the console
	@RLG_DEV=$${RLG_DEV:-1} exec $(PY) -m services all

.PHONY: demo
demo: .venv/run.stamp ## load the demo into a running development ledger
	@$(PY) -m demo

# Tests with a broker, a browser or the whole product fill the machine by themselves; all others share
# it two at a time, each process with a PostgreSQL of its own.
ALONE := kafka or browser or slow

.PHONY: test
test: .venv/dev.stamp ## the whole suite on a real PostgreSQL, a real Kafka and a real browser
	@failed=0; $(PY) -m pytest -n 2 --dist loadfile -m "not ($(ALONE))" || failed=1; \
	$(PY) -m pytest -m "$(ALONE)" || failed=1; exit $$failed

.PHONY: test-fast
test-fast: .venv/dev.stamp ## the inner loop: without servers, browser and slow tests
	@$(PY) -m pytest -q -n 2 -m "not postgres and not kafka and not browser and not slow"

.PHONY: check
check: .venv/dev.stamp ## lint, format, types and import contracts
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy
	@.venv/bin/lint-imports

.PHONY: fmt
fmt: .venv/dev.stamp ## format and mend what lint can mend
	@$(PY) -m ruff check --fix
	@$(PY) -m ruff format

# A peer that cannot be had here is no reason to measure nothing: its cells say so.
.venv/bench.stamp: .venv/dev.stamp
	@echo "installing the peers of the benchmarks (once)"
	@$(UV) sync --frozen --group bench || echo "!! not all peers could be installed; going on without"
	@touch $@

.PHONY: bench
bench: .venv/bench.stamp ## all benchmarks, each beside a peer or a physical limit
	@$(PY) -m bench

.PHONY: schemas
schemas: .venv/dev.stamp ## write contracts/schemas: JSON Schema, OpenAPI, AsyncAPI
	@$(PY) -m services schemas

.PHONY: migrate
migrate: .venv/run.stamp ## bring the database at DATABASE_URL to the newest schema
	@$(PY) -m services migrate

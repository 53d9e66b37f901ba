.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROTOS := $(wildcard protos/tablemill/v1/*.proto)
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
PROTOC := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos
PROTOC_OUT = --python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet,only_async:$(1)

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@echo "Preparing $(VENV) from requirements.lock (only once; about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tablemill needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: demo
demo: $(STAMP) ## Start everything, mill a messy workbook, watch it become Parquet, stop everything
	@$(BIN)/python -m examples.demo

.PHONY: up
up: $(STAMP) ## Start everything and stay up (in this terminal, until Ctrl-C or make down)
	@$(BIN)/python -m examples.up

.PHONY: down
down: $(STAMP) ## Stop what `make up` started in this checkout
	@$(BIN)/python -m examples.up --stop

.PHONY: test
test: $(STAMP) ## Run the tests, in parallel, against real servers started on the fly
	@$(BIN)/python -m pytest -n 4 --dist worksteal -m "not slow and not interop"

.PHONY: chaos
chaos: $(STAMP) ## Run the long tests; their seeds are printed
	@$(BIN)/python -m pytest -n 2 -m slow --timeout 900 -rP

.PHONY: interop
interop: $(STAMP) ## Talk to the services with clients in other languages
	@$(BIN)/python -m pytest -m interop --timeout 600 -rs

.PHONY: check
check: $(STAMP) ## Lint, types, import rules, protos, and freshness of stubs and locks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@if git rev-parse -q --verify HEAD^ >/dev/null && git cat-file -e HEAD^:buf.yaml 2>/dev/null; then $(BIN)/buf breaking --against '.git#ref=HEAD^'; fi
	@rm -rf .run/stubs && mkdir -p .run/stubs && $(PROTOC) $(call PROTOC_OUT,.run/stubs) $(PROTOS)
	@diff -r -x __pycache__ -x __init__.py .run/stubs/tablemill/v1 tablemill/v1 || { echo "The stubs are stale: run make protos"; exit 1; }
	@cp requirements.lock .run/fresh.lock && $(UV_COMPILE) --all-extras pyproject.toml -o .run/fresh.lock
	@diff requirements.lock .run/fresh.lock || { echo "requirements.lock is stale: run make lock"; exit 1; }
	@cp requirements-server.lock .run/fresh.lock && $(UV_COMPILE) --extra server -c requirements.lock pyproject.toml -o .run/fresh.lock
	@diff requirements-server.lock .run/fresh.lock || { echo "requirements-server.lock is stale: run make lock"; exit 1; }
	@if docker compose version >/dev/null 2>&1; then docker compose config --quiet && echo "docker-compose.yml is valid"; else echo "docker compose is not here: docker-compose.yml not validated"; fi

.PHONY: format
format: $(STAMP) ## Format code and protos
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/buf format -w

.PHONY: protos
protos: $(STAMP) ## Make the stubs anew from the protos
	@$(PROTOC) $(call PROTOC_OUT,.) $(PROTOS)

.PHONY: migrate
migrate: $(STAMP) ## Bring the database at TABLEMILL_DATABASE_URL to the newest schema
	@$(BIN)/python -m shared.migrations

.PHONY: bench
bench: $(STAMP) ## Run the benchmark NAME (all without it)
	@$(BIN)/python -m benchmarks $(NAME)

.PHONY: lock
lock: $(STAMP) ## Make the lock files anew from pyproject.toml (UPGRADE=1 takes newer versions)
	@$(UV_COMPILE) $(if $(UPGRADE),--upgrade) --all-extras pyproject.toml -o requirements.lock
	@$(UV_COMPILE) $(if $(UPGRADE),--upgrade) --extra server -c requirements.lock pyproject.toml -o requirements-server.lock

.PHONY: clean
clean: ## Remove the virtual environment and everything made on the way
	@rm -rf $(VENV) .run build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

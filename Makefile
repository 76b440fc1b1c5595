# Everything needs only make, Python 3.11 or newer and a package index.

BOOTSTRAP := scripts/python scripts/bootstrap.py
VENV_BIN := .venv/bin
# The type checker loads the settings, and the settings want addresses; nothing connects to these.
NOWHERE := DATABASE_URL=postgresql://nobody@127.0.0.1:1/none REDIS_URL=redis://127.0.0.1:1/0 SECRET_KEY=none
PYTEST_ARGS ?= -n 2 --dist loadscope

.DEFAULT_GOAL := help
.PHONY: help run reset test check bench format environment test-environment clean

help: ## say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

run: ## the portal with its servers, workers, demo and live traffic (PORT=8000, HOST, DATA_DIR, CHARGING_WORKERS=2, DEMO=0, TRAFFIC=0)
	@$(BOOTSTRAP) manage.py run

reset: ## stop the portal and delete its data folder
	@$(BOOTSTRAP) manage.py reset

test: test-environment ## all tests, on servers of their own (PYTEST_ARGS)
	@scripts/python scripts/browser.py
	@$(VENV_BIN)/python -m pytest $(PYTEST_ARGS)

check: test-environment ## formatting, lint, types, layers, missing migrations
	@$(VENV_BIN)/ruff check .
	@$(VENV_BIN)/ruff format --check --quiet . || { $(VENV_BIN)/ruff format --check .; exit 1; }
	@$(NOWHERE) $(VENV_BIN)/mypy
	@$(VENV_BIN)/lint-imports
	@$(VENV_BIN)/python -m portal.runtime.throwaway $(VENV_BIN)/python manage.py makemigrations --check --dry-run

bench: environment ## all figures as JSON lines (FIGURE=name for one, QUICK=1 for under a minute)
	@FIGURE="$(FIGURE)" QUICK="$(QUICK)" $(VENV_BIN)/python -m benchmarks

format: test-environment ## format the code
	@$(VENV_BIN)/ruff check --fix --quiet . || true
	@$(VENV_BIN)/ruff format .

environment:
	@$(BOOTSTRAP)

test-environment:
	@$(BOOTSTRAP) --tests

clean: ## delete .venv and caches, not the data
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything one types. `make help` lists the targets.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Stages call `python`: theirs must be the virtual environment's.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1

.DEFAULT_GOAL := help
.PHONY: help setup lock run images stack stack-down rehearsal repro test services test-services test-gpu chaos lint clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## install the pinned environment into .venv (redone only when its inputs changed)

# Resolving is what takes pip long; the constraints are complete, so nothing is left to resolve.
$(STAMP): constraints.txt pyproject.toml
	@python=""; for name in python3.11 python3.12 python3.13 python3; do \
	  if command -v $$name >/dev/null 2>&1 && $$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then python=$$name; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "error: no Python 3.11 or later with venv found -> install python3.11 and python3.11-venv" >&2; exit 2; fi; \
	echo "installing into $(VENV) with $$($$python --version)"; \
	test -x $(BIN)/python || $$python -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps -r constraints.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

lock: ## resolve the dependencies of pyproject.toml again into constraints.txt
	$(BIN)/python -m pip install --quiet --no-deps --target build/uv uv
	@links=$$($(BIN)/python -m pip config get global.find-links 2>/dev/null || true); \
	extra=$$($(BIN)/python -m pip config get global.extra-index-url 2>/dev/null || true); \
	printf 'pip\nsetuptools\n' > build/bootstrap.in; \
	UV_FIND_LINKS="$$(echo $$links | tr ' ' ',')" UV_EXTRA_INDEX_URL="$$extra" build/uv/bin/uv pip compile --quiet \
	  --python $(BIN)/python --index-strategy unsafe-best-match --upgrade --all-extras --no-header --no-annotate \
	  --output-file build/constraints.in pyproject.toml build/bootstrap.in
	@{ echo "# The whole environment, pinned: \`make setup\` installs exactly this. Regenerate with \`make lock\`."; \
	  grep -v '^--' build/constraints.in | sed 's/+cpu$$//'; } > constraints.txt
	@echo "constraints.txt: $$(grep -c == constraints.txt) packages"

run: setup ## run the pipeline: data, base policy, GRPO and Poly-EPO, evaluation, promotion
	@poly-epo run $(if $(RUNNER),--runner $(RUNNER)) $(ARGS)

images: setup ## build the container images of `make run RUNNER=docker` and of the team's stack
	@docker/build.sh $(NAMES)

stack: setup ## start the team's stack in containers: Postgres, S3, Prefect with a worker, MLflow with logins, dashboard
	@docker/stack.sh up

stack-down: ## end the team's stack; what it stores stays
	@docker/stack.sh down

repro: setup ## run the same stages with DVC alone, without any server
	@dvc repro $(ARGS)

test: setup ## run all tests that need no servers
	@pytest -n auto --maxprocesses 4 --dist loadfile -m "not services and not gpu" $(ARGS)

services: setup ## serve Prefect with its schedule and a worker on loopback until Ctrl-C; TEAM=DIR: all of the team's stack
	@$(if $(TEAM),$(BIN)/python -m tests.services $(TEAM),poly-epo serve $(ARGS))

test-services: setup ## run the tests that need servers or a browser
	@$(BIN)/python -m pip install --quiet --no-deps -r tests/browser/requirements.txt
	@pytest -m services $(ARGS)

test-gpu: setup ## run the tests of what only a GPU runs
	@pytest -m gpu tests/gpu $(ARGS)

chaos: setup ## kill and cut off the parts of real runs at random points; prints what was lost
	@$(BIN)/python -m tests.chaos $(ARGS)

rehearsal: setup ## the team's stack from nothing: a scheduled retrain, rollback, backup, loss, restore
	@$(BIN)/python -m tests.rehearsal $(ARGS)

lint: setup ## style, types and the layers' contracts
	ruff check .
	ruff format --check .
	mypy
	lint-imports

clean: ## remove what the pipeline and the tools made; keeps .venv, DVC's cache and dvc.lock
	rm -rf workspace reports .poly-epo dvc_plots build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

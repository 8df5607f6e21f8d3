# Every command a developer needs; `make` alone lists them. `make up` and `make test` need nothing done before.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help up down test check e2e crash explore test-upstream bench bench-scheduler bench-scale bench-import conformance update verify packages

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 18

up: $(VENV)/.kaa packages ## start the cluster "dev" and the sample in it (root)
	kaa up --name dev --wait
	examples/hello/deploy.sh dev

down: $(VENV)/.kaa ## remove the cluster "dev" and all it made
	kaa down --name dev

test: $(VENV)/.dev ## all the tests; those with real containers need root
	@if [ "$$(id -u)" = 0 ]; then tools/install-packages.sh tests; \
	else echo '*** NOT ROOT: the end-to-end tests with real containers are SKIPPED ***'; fi
	pytest -m 'not e2e' -n 2 --dist worksteal
	pytest -m e2e

check: $(VENV)/.dev ## formatting, lint, types and the rooms' import contracts
	ruff format --check src tests tools examples bench
	ruff check src tests tools examples bench
	mypy
	lint-imports

e2e: $(VENV)/.dev packages ## only the tests with real containers (root)
	pytest -m e2e

crash: $(VENV)/.dev ## kill -9 of the API server amid 1,000 writes, 20 times a store, and of the scheduler amid bindings
	KAA_CRASHES=20 pytest tests/integration/test_crash.py tests/integration/scheduler/test_killed.py

explore: $(VENV)/.dev ## all scenarios under SEEDS (1000) seeds each, from FIRST (0) on
	python -m kaa.cluster.simulation.exploration tests.integration.simulation.scenarios --processes 2 \
	  --seeds $(or $(SEEDS),1000) --first $(or $(FIRST),0)

test-upstream: $(VENV)/.dev ## the controllers' tests against the API server of KUBECONFIG, which nobody else must use
	pytest tests/integration -k controllers --kubeconfig $(KUBECONFIG)

bench: $(VENV)/.dev ## measure what docs/BENCHMARKS.md reports, and write it
	python -m bench

bench-scheduler: $(VENV)/.dev ## measure the scheduler's workloads, and write them into docs/BENCHMARKS.md
	python -m bench.scheduler

bench-scale: $(VENV)/.dev ## measure 5,000 simulated nodes and 10,000 pods, and write it there, too (root)
	python -m bench.scale

bench-import: $(VENV)/.dev ## measure the cluster that one imports, and write it there, too
	python -m bench.imported

conformance: $(VENV)/.dev packages ## upstream's suite against a new cluster (hours)
	tools/conformance.sh

update: $(VENV)/.dev ## make generated files anew
	python tools/generate_schema.py update
	python tools/generate_messages.py update

verify: $(VENV)/.dev ## generated files are what their sources say
	python tools/generate_schema.py verify
	python tools/generate_messages.py verify

packages:
	@tools/install-packages.sh

# What a user needs, and on top of it what a developer needs.
$(VENV)/.kaa: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[kubectl]'
	@touch $@

$(VENV)/.dev: $(VENV)/.kaa
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# Everything starts here. The targets make .venv themselves and do it again when requirements.lock changes.
.DEFAULT_GOAL := help
.PHONY: help setup run up check test coverage repeat chaos bench lint docs docs-check audit sbom format lock

PYTHON := .venv/bin/python
# Where nothing compiled may be kept, every process compiles our modules again: nearly a second for each worker.
unexport PYTHONDONTWRITEBYTECODE
# What pytest gets, as in: make test ARGS='-k phones -x'
ARGS ?=
# Processes that share the tests, each with servers of its own; four keep two processors busy,
# since tests of processes mostly wait. 0: none but pytest's.
JOBS ?= 4
# No addresses of anybody's package index in a lock.
COMPILE := uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## .venv from requirements.lock; the others do this by themselves
	@./scripts/setup.sh

run: setup ## the demonstration; PAGE=1: with the page, until Ctrl-C
	@$(PYTHON) examples/demo.py $(if $(PAGE),--page)

up: setup ## worker, scheduler and simulator until Ctrl-C; takes DATABASE_URL
	@.venv/bin/smsclick up --simulate

check: lint ## lint and the tests that need no server, in less than a minute
	@$(PYTHON) -m pytest -q -n $(JOBS) --dist loadfile tests/unit $(ARGS)

test: setup ## all tests, on servers of their own; ARGS='-k phones -x': some
	@$(PYTHON) -m tests.programs
	@$(PYTHON) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

coverage: setup ## which branches the tests reach; ARGS=tests/unit: some of them
	@$(PYTHON) -m tests.programs
	@rm -rf var/coverage && mkdir -p var/coverage
	@$(PYTHON) -m coverage run -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS); code=$$?; \
	$(PYTHON) -m coverage combine --quiet && $(PYTHON) -m coverage report; exit $$code

TIMES ?= 50
AT_MOST ?= 3000
repeat: setup ## the tests of threads and processes, TIMES=50, beside a busy CPU
	@$(PYTHON) -m tests.programs
	@TIMES=$(TIMES) AT_MOST=$(AT_MOST) ARGS='$(ARGS)' ./scripts/repeat.sh

# SEED=n repeats a run as far as processes allow.
SEED ?= 1
chaos: setup ## kills everything while messages flow; about 15 minutes
	@$(PYTHON) -m tests.programs
	@failed=0; \
	$(PYTHON) -m tests.chaos --stack postgres-redis --messages 5000 --kills 130 --seed $(SEED) || failed=1; \
	$(PYTHON) -m tests.chaos --stack postgres-rabbitmq --messages 2000 --kills 60 --seed $(SEED) --text-form ascii || failed=1; \
	$(PYTHON) -m tests.chaos --stack sqlite-embedded --messages 2000 --kills 60 --seed $(SEED) --text-form collapsed || failed=1; \
	exit $$failed

bench: setup ## the benchmarks of docs/performance.md; ARGS='latency --quick'
	@$(PYTHON) -m tests.programs
	@cksum requirements-bench.lock | cmp -s - .venv/.bench || { \
		$(PYTHON) -m pip install --quiet --require-hashes -r requirements-bench.lock && \
		cksum requirements-bench.lock >.venv/.bench; }
	@$(PYTHON) -m bench $(ARGS)

lint: setup ## linter, spelling, words, secrets, imports, pages, types
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m codespell_lib
	@$(PYTHON) scripts/words.py --strict
	@$(PYTHON) scripts/find_secrets.py
	@$(PYTHON) -m ruff format --check .
	@.venv/bin/lint-imports --no-logo
	@$(PYTHON) scripts/reference.py --check
	@$(PYTHON) scripts/translations.py
	@$(PYTHON) -m mypy

# The site has a lock of its own, like the benchmarks.
.venv/.docs: setup requirements-docs.lock
	@cksum requirements-docs.lock | cmp -s - $@ || { \
		$(PYTHON) -m pip install --quiet --require-hashes -r requirements-docs.lock && \
		cksum requirements-docs.lock >$@; }

SITE ?= 127.0.0.1:8000
MKDOCS := DISABLE_MKDOCS_2_WARNING=true NO_MKDOCS_2_WARNING=true $(PYTHON) -m mkdocs
docs: .venv/.docs ## the documentation as a site until Ctrl-C; SITE=127.0.0.1:8000
	@echo "http://$(SITE)/"
	@$(MKDOCS) serve --quiet --dev-addr $(SITE)

docs-check: .venv/.docs ## builds that site strictly into var/site and checks its links
	@$(MKDOCS) build --strict --clean
	@$(PYTHON) scripts/site_check.py

audit: setup ## known vulnerabilities of the locked packages (needs uv)
	@$(PYTHON) scripts/audit.py

sbom: setup ## dist/sbom.cdx.json and dist/licences.md of the image's lock
	@./scripts/sbom.sh

format: setup ## formats the code and fixes what the linter can
	@$(PYTHON) -m ruff check --fix-only .
	@$(PYTHON) -m ruff format .

lock: ## the locks again from pyproject.toml (needs uv); UPGRADE=1: newer
	@command -v uv >/dev/null || { echo "make lock needs uv: https://docs.astral.sh/uv/getting-started/installation/" >&2; exit 1; }
	$(COMPILE) $(if $(UPGRADE),--upgrade) --universal --python-version 3.11 --extra dev pyproject.toml -o requirements.lock
	echo 'setuptools>=80' | $(COMPILE) --universal --python-version 3.11 --extra worker -c requirements.lock pyproject.toml - -o requirements-worker.lock
	$(COMPILE) $(if $(UPGRADE),--upgrade) --universal --python-version 3.11 -c requirements.lock requirements-bench.in -o requirements-bench.lock
	$(COMPILE) $(if $(UPGRADE),--upgrade) --universal --python-version 3.11 -c requirements.lock requirements-docs.in -o requirements-docs.lock
	$(COMPILE) $(if $(UPGRADE),--upgrade) --universal --python-version 3.12 --no-deps requirements-servers.in -o requirements-servers.lock

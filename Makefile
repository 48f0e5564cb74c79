# Every command of the project. `make help` lists them.
# Written for GNU make 3.81 (macOS) and later.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
TOOLS := .tools
ARGS ?=

.PHONY: help run up test check format lint types imports drift buf fix proto reference chart compatibility fuzz soak crowd bench build lock tools clean

help: ## List the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 15

run: .venv/installed ## Serve in the foreground (ARGS="--config FILE" for your own configuration)
	@exec $(BIN)/ccproxy start --foreground $(ARGS)

up: ## Serve in a container, with keys made in secrets/ (needs Docker): docs/operations/docker.md
	deploy/compose/keys.sh
	docker compose up --build --detach --wait

test: .venv/developed ## Run all tests (ARGS="-k name" for some)
	$(BIN)/python -m pytest $(COVERAGE) $(ARGS)

check: .venv/developed format lint types imports drift buf ## Everything CI checks, ending in the tests
	$(MAKE) test COVERAGE="--cov --cov-report=term --cov-fail-under=100"

format: .venv/developed
	$(BIN)/ruff format --check .

lint: .venv/developed
	$(BIN)/ruff check .

types: .venv/developed
	$(BIN)/mypy

imports: .venv/developed
	$(BIN)/lint-imports

drift: .venv/developed
	$(BIN)/python proto/generate.py --check
	$(BIN)/python -m ccproxy.config.reference --check
	PYTHONPATH=tests $(BIN)/python -m faults.document --check
	$(BIN)/python deploy/helm/generate.py --check

buf: ## Lint the schema; skipped where buf is not installed (make tools)
	@if [ -x $(TOOLS)/node_modules/.bin/buf ]; then \
		$(TOOLS)/node_modules/.bin/buf lint && $(TOOLS)/node_modules/.bin/buf format --diff --exit-code; \
	elif [ -n "$$CCPROXY_REQUIRE_TOOLS" ]; then echo "buf is not installed: run make tools" >&2; exit 1; \
	else echo "buf is not installed, so the schema is not linted (make tools installs it)"; fi

fix: .venv/developed ## Mend what can be mended by itself: format, imports, simple lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: .venv/developed ## Write generated/ anew from proto/
	$(BIN)/python proto/generate.py

reference: .venv/developed ## Write the pages that follow from tables: the configuration's reference, the faults
	$(BIN)/python -m ccproxy.config.reference
	PYTHONPATH=tests $(BIN)/python -m faults.document

chart: .venv/developed ## Write the chart's table of values and its kept renders anew (needs helm: make tools)
	$(BIN)/python deploy/helm/generate.py

compatibility: .venv/developed ## Write docs/compatibility.md anew from what its tests see
	$(BIN)/python -m tests.compatibility

fuzz: .venv/developed ## The property tests, for long: every reader of bytes from outside
	CCPROXY_FUZZ_CASES=100000 $(BIN)/python -m pytest tests/unit/test_json_codec.py tests/fuzz --timeout 3600 $(ARGS)

soak: .venv/developed ## 100,000 requests with faults and reloads, ten minutes at most: what is left of them? (Linux)
	PYTHONPATH=tests $(BIN)/python -m soak.run $(ARGS)

crowd: .venv/developed ## Thousands of callers that do nothing, are slow or read nothing, and an overload (Linux)
	PYTHONPATH=tests $(BIN)/python -m soak.crowd $(ARGS)

bench: .venv/developed ## Measure the hot path beside nginx (ARGS=--quick for a smoke)
	$(BIN)/python tests/bench/run.py $(ARGS)

build: .venv/developed ## Wheel and source distribution into dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation

LOCK = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --quiet

lock: .venv/developed ## Write requirements.lock anew from pyproject.toml, and the image's with the same versions
	$(LOCK) --extra dev --extra otel --upgrade --output-file requirements.lock pyproject.toml
	$(LOCK) --extra otel --upgrade --constraint requirements.lock --output-file deploy/docker/run.lock pyproject.toml
	echo hatchling | $(LOCK) --upgrade --constraint requirements.lock --output-file deploy/docker/build.lock -

tools: ## The outside tools that some tests use (needs node, npm and go), into .tools/
	tests/e2e/install-tools.sh

clean: ## Remove everything that was made
	rm -rf .venv $(TOOLS) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

.venv/made:
	@test -n "$(PYTHON)" || { echo "CCProxy needs Python 3.11 or later." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/installed: .venv/made pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/developed: .venv/made requirements.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@ .venv/installed

# `make` alone lists what there is. Needs Python 3.11 or newer and make; everything else is installed into .venv.

.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
ADVISORIES ?= pypi
TARGET ?= compose
DEPLOY = @if [ -x deploy/$(TARGET)/up.sh ]; then exec deploy/$(TARGET)/$(1); \
	else echo "TARGET is one of: $(patsubst deploy/%/up.sh,%,$(wildcard deploy/*/up.sh))"; exit 2; fi
BIN := $(VENV)/bin
NODE := tests/node
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := control_plane tests

export LITELLM_LOCAL_MODEL_COST_MAP := True

.PHONY: client deploy deploy-status deploy-down backup restore sbom audit help install install-dev demo run test quick check format bench bench-compare bench-peers soak scale chaos adversary replicas busy lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; run make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python deploy/requirements.lock pyproject.toml
	$(PIP) install --require-hashes -r deploy/requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime deploy/requirements-dev.lock
	$(PIP) install --require-hashes -r deploy/requirements-dev.lock
	@touch $@

$(VENV)/clients/.installed: $(VENV)/.dev deploy/requirements-clients.lock
	@$(BIN)/python -m venv $(VENV)/clients
	@$(VENV)/clients/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r deploy/requirements-clients.lock
	@touch $@

$(NODE)/node_modules/.installed: $(NODE)/package.json $(NODE)/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix $(NODE) --no-audit --no-fund --silent && touch $@; \
	else echo "npm is not installed: the tests of JavaScript clients are skipped"; fi

install: $(VENV)/.runtime ## Install the product into .venv, from the hash-pinned lock

install-dev: $(VENV)/.dev ## Install what the tests and checks need, too

demo: install ## Start the product, run a three-call job, show its bill, keep serving until Ctrl-C
	@$(BIN)/control-plane demo

run: install ## Migrate the database and serve on port 8003
	@$(BIN)/control-plane migrate
	@exec $(BIN)/control-plane serve

test: install-dev $(NODE)/node_modules/.installed $(VENV)/clients/.installed ## Run every test, on SQLite and on a real Postgres and Redis
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder

quick: install-dev ## The tests that start no server, Postgres, Redis or process (a minute)
	@$(BIN)/python -m pytest --quiet --numprocesses 2 --dist loadscope -m 'not slow'

busy: install-dev ## The tests that race for something, while four loops keep the machine busy (10 minutes; TESTS=… for some)
	@$(BIN)/python -m tests.load.busy $(TESTS)

check: install-dev ## Format, ruff, mypy strict, import contracts, homes of libraries
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/python -m pytest --quiet tests/test_architecture.py

format: install-dev ## Let ruff format and mend what it can
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

bench: install-dev ## Compare CPU, memory and latency with a bare Router in the same run; ONLY='hot|two' for some (about 8 minutes)
	@$(BIN)/python -m tests.load.bench $(if $(ONLY),--only '$(ONLY)')

bench-compare: install-dev ## Compare this checkout's CPU per call and job with the commit REF's, in turn (about 4 minutes)
	@test -n "$(REF)" || { echo "make bench-compare REF=…: which commit?"; exit 2; }
	@$(BIN)/python -m tests.load.bench.compare $(REF)

chaos: install-dev ## Kill a server 52 times under load and check every call, job and credit (about 3 minutes)
	@$(BIN)/python -m tests.load.chaos

replicas: install-dev ## Starve a replica, freeze it, cut it off: does the other serve, and is no call lost? (about 2 minutes)
	@$(BIN)/python -m pytest -m replicas tests/load/replicas

adversary: install-dev ## Attack a server while customers are served: is it answered at once, small, and are its books right?
	@$(BIN)/python -m tests.load.adversary

soak: install-dev ## Mixed load for ten minutes: is the server as small afterwards as before?
	@$(BIN)/python -m tests.load.soak

scale: install-dev ## Three servers as one, then with a million calls in their tables (about 10 minutes)
	@$(BIN)/python -m tests.load.scale

bench-peers: install-dev $(VENV)-peers/.litellm ## Compare requests/s and CPU per call with LiteLLM's proxy (about 3 minutes)
	@$(BIN)/python -m tests.load.bench --proxy $(VENV)-peers/bin/litellm

# An environment of its own: ours needs none of what LiteLLM's proxy brings.
$(VENV)-peers/.litellm:
	@$(PYTHON) -m venv $(VENV)-peers
	@$(VENV)-peers/bin/pip --disable-pip-version-check --quiet install 'litellm[proxy]==1.106.2'
	@touch $@

lock: ## Renew the lock files in deploy/, leaving out releases younger than a week
	@$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip --disable-pip-version-check --quiet install uv
	@cd deploy && for set in requirements requirements-dev requirements-clients requirements-supply requirements-host; do \
	  ../$(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --exclude-newer "$$(date -u -d '7 days ago' +%F)" $$set.in -o $$set.lock; done
	@rm -rf $(VENV)-lock

$(VENV)/supply/.installed: $(VENV)/bin/python deploy/requirements-supply.lock
	@$(BIN)/python -m venv $(VENV)/supply
	@$(VENV)/supply/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r deploy/requirements-supply.lock
	@touch $@

$(VENV)/product/.installed: $(VENV)/bin/python deploy/requirements.lock
	@rm -rf $(VENV)/product && $(BIN)/python -m venv --without-pip $(VENV)/product
	@$(BIN)/python -m pip --disable-pip-version-check --quiet --python $(VENV)/product/bin/python install --require-hashes -r deploy/requirements.lock
	@touch $@

deploy: ## Deploy, or upgrade, with TARGET=compose (the default), kubernetes or host: deploy/README.md
	$(call DEPLOY,up.sh)

deploy-status: ## What of it runs, and whether all is well
	$(call DEPLOY,status.sh)

deploy-down: ## Stop it; data stays
	$(call DEPLOY,down.sh)

backup: ## Write its database to FILE, while it runs
	$(call DEPLOY,backup.sh $(FILE))

restore: ## Put the backup FILE in the place of its database
	@test -n "$(FILE)" || { echo "make restore FILE=…: which backup?"; exit 2; }
	$(call DEPLOY,restore.sh $(FILE))

client: $(VENV)/.runtime ## Build the typed client's wheel into dist/; it needs httpx and pydantic, not the server
	@cd control_plane/client && ../../$(BIN)/python -m hatchling build --target wheel --directory ../../dist

sbom: $(VENV)/supply/.installed $(VENV)/product/.installed ## Write dist/sbom.cdx.json (CycloneDX) and dist/licences.csv: all that is deployed
	@mkdir -p dist
	@$(VENV)/supply/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
	  --output-format JSON --output-file dist/sbom.cdx.json $(VENV)/product/bin/python
	@$(VENV)/supply/bin/pip-licenses --python $(VENV)/product/bin/python --format csv --with-urls --order license --output-file dist/licences.csv

audit: $(VENV)/supply/.installed ## Ask the advisories about every locked version (needs the network); exits with 1 if one is known
	@for lock in deploy/*.lock; do echo $$lock; \
	  $(VENV)/supply/bin/pip-audit --progress-spinner off --strict --disable-pip --require-hashes --vulnerability-service $(ADVISORIES) --requirement $$lock || exit 1; done

clean: ## Remove .venv and caches; var/ with your data stays
	@rm -rf $(VENV) $(NODE)/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis

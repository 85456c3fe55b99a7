# Every command a person needs. `make` alone prints them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export PATH := $(CURDIR)/$(BIN):$(PATH)
# Telemetry of the SDK's command line stays off in a checkout.
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help demo debug reset test test-all lint format clean package deploy picture benchmark simulate soak audit mutants

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Making the virtual environment in $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: $(READY)  ## show two syncs against a fake Courier API: no account, no key, no internet
	@PYTHONDONTWRITEBYTECODE=1 $(BIN)/python -m tools.demo

debug: $(READY)  ## sync with the key in configuration.json into files/warehouse.db
	@$(BIN)/python -m tools.debug

reset: $(READY)  ## remove what local syncs have landed and saved, to start afresh
	@if [ -d files ]; then $(BIN)/fivetran reset "$(CURDIR)" --non-interactive; \
	else echo "Nothing to reset: there is no files/ folder."; fi
	@rm -rf crash-reports

test: lint  ## run every check and every test
	@$(BIN)/python -m pytest -n 2

# Every supported Python that is on the machine, each in an environment of its own.
PYTHONS = $(foreach v,3.11 3.12 3.13 3.14,$(shell python$(v) -c 'print("$(v)")' 2>/dev/null))

test-all:  ## run the tests on every supported Python on this machine
	@set -e; versions="$(PYTHONS)"; \
	test -n "$$versions" || { echo "No python3.11 or later is on PATH."; exit 1; }; \
	for version in $$versions; do \
		echo "== Python $$version"; \
		$(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON=python$$version; \
	done

lint: $(READY)  ## check style and types, changing nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Run 'make format'."; exit 1; }
	@$(BIN)/mypy

format: $(READY)  ## put the code into its one style
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

clean:  ## remove what runs and tests left behind (the virtual environment too)
	@rm -rf $(VENV) .venv-benchmark .venv-audit .venv-mutants mutants files crash-reports build .pytest_cache .mypy_cache .ruff_cache .hypothesis

package: $(READY)  ## make the archive that Fivetran would get, in build/
	@$(BIN)/python -m tools.package

deploy: $(READY)  ## send the connector to Fivetran; asks for what is missing
	@$(BIN)/python -m tools.deploy

# The SDK of another version needs an environment of its own; without it that sink is left out.
.venv-benchmark/.ready: requirements.txt benchmark/requirements.txt
	@$(PYTHON) -m venv .venv-benchmark
	@.venv-benchmark/bin/pip install --quiet --disable-pip-version-check \
		-r benchmark/requirements.txt
	@touch $@

# What pip-audit needs is kept out of the environment that the tests run in.
.venv-audit/.ready: tools/audit-requirements.txt
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/pip install --quiet --disable-pip-version-check -r tools/audit-requirements.txt
	@touch $@

audit:  ## look up known advisories against what ships (asks PyPI; status 3: left out)
	@$(MAKE) --silent .venv-audit/.ready || rm -rf .venv-audit
	@$(PYTHON) -m tools.audit

picture: $(READY)  ## draw one sync in time, from a real run, into docs/sync.svg
	@$(BIN)/python -m tools.picture

benchmark: $(READY)  ## measure everything against the fake API (about an hour; ONLY="cpu chain")
	@$(MAKE) --silent .venv-benchmark/.ready || \
		{ rm -rf .venv-benchmark; echo "The 2.13.1 runtime is not to be had: left out."; }
	@$(BIN)/python -m benchmark --results benchmark/results $(if $(ONLY),--only $(ONLY))
SEEDS ?= 0-1999

simulate: $(READY)  ## simulate disasters: SEEDS=17 replays one, SEEDS=0-1999 runs a range
	@$(BIN)/python -m tests.simulation $(SEEDS)

soak: $(READY)  ## the long runs: planted bugs, real kills, a million messages (40 minutes)
	@$(BIN)/python -m tests.simulation 0-1999 --planted
	@$(BIN)/python -m tests.support.kills --syncs 25
	@$(BIN)/python -m tests.support.soak

# mutmut brings a dozen packages along, so it has an environment of its own.
.venv-mutants/.ready: requirements.txt requirements-dev.txt tests/mutation/requirements.txt
	@$(PYTHON) -m venv .venv-mutants
	@.venv-mutants/bin/pip install --quiet --disable-pip-version-check \
		-r tests/mutation/requirements.txt
	@touch $@

mutants: .venv-mutants/.ready  ## change the code in 1,800 small ways that the tests must notice (40 minutes)
	@rm -rf mutants
	@.venv-mutants/bin/python -m tests.mutation

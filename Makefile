# Every command a person needs. `make` alone prints them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := -m pip install --quiet --disable-pip-version-check
OUTER_PATH := $(PATH)

export PATH := $(CURDIR)/$(BIN):$(PATH)
# Telemetry of the SDK's command line stays off in a checkout.
export DO_NOT_TRACK := 1
# Settings of pip and Python that break a checkout: recipes do not inherit them.
unexport PIP_TARGET PIP_PREFIX PYTHONSAFEPATH PYTHONHOME PYTHONPATH PYTHONSTARTUP
unexport PYTHONOPTIMIZE PYTHONIOENCODING
# And one with which each of the tests' hundreds of processes compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE
export PIP_USER := 0
export PYTHONNOUSERSITE := 1
export PYTHONUTF8 := 1

.DEFAULT_GOAL := help
.PHONY: help demo debug questions sql reset quick test test-all lint style format clean package deploy \
	fake-fivetran release schema dbt picture benchmark simulate soak weekly audit mutants stale

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Where the folder has moved, or the Python behind the environment is gone, it is made anew.
# Recursive (=), so that `$$` becomes `$` once, in a recipe and in $(shell) alike.
IS_FRESH = grep -qsF "$$(cd $(VENV) 2>/dev/null && pwd -P)/bin/python" $(BIN)/pip && \
	$(BIN)/python -Ic 'import pip' 2>/dev/null
$(READY): requirements.txt requirements-dev.txt $(if $(shell $(IS_FRESH) && echo fresh),,stale)
	@PATH="$(OUTER_PATH)" $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make PYTHON=python3.12 ..."; exit 1; }
	@{ $(IS_FRESH); } || { echo "Making the virtual environment in $(VENV) (once) ..." && \
		PATH="$(OUTER_PATH)" $(PYTHON) -m venv --clear $(VENV); }
	@$(BIN)/python $(PIP) -r requirements-dev.txt
	@touch $@

demo: $(READY)  ## show three syncs against a fake Courier API, no key needed (KEEP=1, STREAMS=all)
	@PYTHONDONTWRITEBYTECODE=1 $(BIN)/python -m tools.demo

debug: $(READY)  ## sync with your key into files/warehouse.db (CONFIGURATION=..., VERBOSE=1)
	@$(BIN)/python -m tools.debug

questions: $(READY)  ## answer docs/queries.sql from the newest local warehouse
	@$(BIN)/python -m tools.questions

sql: $(READY)  ## open a DuckDB prompt on the newest local warehouse
	@$(BIN)/python -m tools.sql

reset: $(READY)  ## remove what local syncs have landed and saved (CONFIGURATION=...)
	@$(BIN)/python -m tools.local_run

quick: lint  ## run lint and the unit tests (under 20 seconds)
	@$(BIN)/python -m pytest -n 2 --dist worksteal --hypothesis-profile quick tests/unit

# Two workers more than two cores: the tests also wait, for processes and for time-outs.
# mypy keeps one core busy for seconds, so it runs beside them.
test: style  ## run every check and every test
	@$(BIN)/mypy & types=$$!; \
	$(BIN)/python -m pytest -n 4 --dist loadgroup; tests=$$?; \
	wait $$types || { echo "mypy reported the errors above."; exit 1; }; exit $$tests

# Every supported Python that is on the machine, each in an environment of its own.
PYTHONS = $(foreach v,3.11 3.12 3.13 3.14,$(shell python$(v) -c 'print("$(v)")' 2>/dev/null))

test-all:  ## run the tests on every supported Python on this machine
	@set -e; versions="$(PYTHONS)"; \
	test -n "$$versions" || { echo "No python3.11 or later is on PATH."; exit 1; }; \
	for version in $$versions; do \
		echo "== Python $$version"; \
		$(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON=python$$version; \
	done

lint: style  ## check style, types and imports, changing nothing
	@$(BIN)/mypy

style: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Run 'make format'."; exit 1; }
	@$(BIN)/lint-imports --no-logo

format: $(READY)  ## format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

clean:  ## remove what runs and tests left behind (the virtual environments too)
	@rm -rf $(VENV) .venv-audit .venv-mutants .venv-dbt mutants files crash-reports \
		build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

package: $(READY)  ## make the archive that Fivetran would get, in build/ (VERBOSE=1 lists it)
	@$(BIN)/python -m tools.package

deploy: $(READY)  ## send the connector to Fivetran (DRY_RUN=1, PROFILE=..., CONFIGURATION=...)
	@$(BIN)/python -m tools.deploy

fake-fivetran: $(READY)  ## start a fake of Fivetran's API to rehearse 'make deploy' against
	@$(BIN)/python -m tests.support.fake_fivetran $(DESTINATIONS:%=--destination %)

release: $(READY)  ## check the tree, tag it and print the notes (VERSION=1.2.3)
	@$(BIN)/python -m tools.release "$(VERSION)"

schema: $(READY)  ## write docs/schema.md from the catalog
	@$(BIN)/python -m tools.schema_docs

# dbt needs other versions than the SDK, and a Python from 3.11 to 3.13.
.venv-dbt/.ready: dbt_courier/requirements.txt
	@for version in 3.13 3.12 3.11; do \
		python$$version -c '' 2>/dev/null && exec python$$version -m venv --clear .venv-dbt; \
	done; echo "dbt needs python3.11, python3.12 or python3.13 on PATH."; exit 1
	@.venv-dbt/bin/python $(PIP) -r dbt_courier/requirements.txt
	@touch $@

dbt: $(READY) .venv-dbt/.ready  ## test the dbt models (keeps nothing)
	@$(BIN)/python -m pytest -n 0 tests/fivetran/test_dbt.py

# What pip-audit needs is kept out of the environment that the tests run in.
.venv-audit/.ready: tools/audit-requirements.txt
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python $(PIP) -r tools/audit-requirements.txt
	@touch $@

audit:  ## look up known advisories against what ships (asks PyPI; status 3: not checked)
	@$(MAKE) --silent .venv-audit/.ready || rm -rf .venv-audit
	@$(PYTHON) -m tools.audit

picture: $(READY)  ## draw docs/sync.svg and docs/reread.svg from real runs
	@$(BIN)/python -m tools.picture

benchmark: $(READY)  ## measure speed, memory and cost, and keep the figures (ONLY="cpu lanes")
	@$(BIN)/python -m benchmark $(if $(ONLY),--only $(ONLY))
	@$(if $(ONLY),,$(BIN)/python -m benchmark.cost)

SEEDS ?= 0-1999

simulate: $(READY)  ## simulate disasters: SEEDS=17 replays one, SEEDS=0-1999 runs a range
	@$(BIN)/python -m tests.simulation $(SEEDS)

soak: $(READY)  ## the long runs: planted bugs, real kills, a million messages (40 minutes)
	@$(BIN)/python -m tests.simulation 0-1999 --planted
	@$(BIN)/python -m tests.support.kills --syncs 25
	@$(BIN)/python -m tests.support.soak

weekly: $(READY)  ## the long runs with this week's seeds; writes docs/reliability.md (4 hours)
	@$(BIN)/python -m tools.weekly

# mutmut brings a dozen packages along, so it has an environment of its own.
.venv-mutants/.ready: requirements.txt requirements-dev.txt tests/mutation/requirements.txt
	@$(PYTHON) -m venv .venv-mutants
	@.venv-mutants/bin/python $(PIP) -r tests/mutation/requirements.txt
	@touch $@

mutants: .venv-mutants/.ready  ## change the code in 3,400 small ways that the tests must notice (hours)
	@rm -rf mutants
	@.venv-mutants/bin/python -m tests.mutation

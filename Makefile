# Every target works in .venv, which it creates; only Python 3.11 or 3.12 and make are needed.
VENV ?= .venv
ARGS ?=
PYTHON ?=
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
NPM_DIRS := contracts tests/conformance
NPM_SLOW_DIRS := tests/conformance/metamask

.DEFAULT_GOAL := help
.PHONY: help devnet test test-slow check bench abuse story drill fuzz mutation install install-dev npm clean

help:
	@echo "make devnet     start a local chain, price reporters and traders   ARGS='--port 9000'"
	@echo "make test       run the tests but the slow ones                     ARGS='-k funding'"
	@echo "make test-slow  run the slow ones: 50 kills, deep properties (minutes)"
	@echo "make check      format, lint, types, layers, tests with coverage"
	@echo "make bench      20,000 signed orders through JSON-RPC               ARGS='rpc'"
	@echo "                the perp engine alone, block by block               ARGS=perp"
	@echo "make abuse      200 hostile connections beside an honest client   ARGS='--seconds 600'"
	@echo "make story      break a chain, halt, fork, reopen, verify          ARGS='--keep --bots 4'"
	@echo "make drill      rehearse an incident: paradex dydx venue-halt frontend-loss   ARGS=paradex"
	@echo "make fuzz       random play against the second opinion, for ever   ARGS='--seed 7 --steps 1000000'"
	@echo "make mutation   change the rules token by token; a test must notice  ARGS='node.perp.fee*'"
	@echo "make clean      remove $(VENV), node_modules and caches; chains stay"

devnet: install
	@exec $(PY) -m node devnet $(ARGS)

test: install-dev npm
	@$(PY) -m pytest -m "not slow" $(ARGS)

test-slow: install-dev
	@$(MAKE) --silent --no-print-directory npm NPM_DIRS="$(NPM_DIRS) $(NPM_SLOW_DIRS)"
	@HYPOTHESIS_PROFILE=deep $(PY) -m pytest -m slow $(ARGS)

check: install-dev npm
	@PATH="$(abspath $(VENV))/bin:$$PATH" tools/check

bench: install
	@exec $(PY) -m tools.bench $(ARGS)

abuse: install
	@exec $(PY) -m tools.abuse $(ARGS)

story: install
	@exec $(PY) -m tools.story $(ARGS)

drill: install
	@exec $(PY) -m tools.drill $(ARGS)

fuzz: install
	@exec $(PY) -m tools.fuzz $(ARGS)

mutation: install-dev
	@exec $(PY) -m tools.mutation $(ARGS)

install: $(VENV)/installed
install-dev: $(VENV)/installed-dev

$(PY):
	@set -e; \
	for python in $(PYTHON) python3.12 python3.11 python3 python; do \
		if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; \
		then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "perpnode needs Python 3.11 or 3.12, found $$(python3 -V 2>/dev/null || echo none):" \
			"install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi; \
	echo "creating $(VENV) with $$("$$found" -V)"; \
	"$$found" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/installed: pyproject.toml | $(PY)
	@echo "installing perpnode into $(VENV)"
	@$(PIP) -e .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(PY)
	@echo "installing perpnode and what its tests need into $(VENV)"
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/installed $@

# solc, viem, ethers and cast serve tests alone; without npm, or offline, those tests skip.
npm:
	@if command -v npm >/dev/null 2>&1; then \
		$(MAKE) --silent --no-print-directory $(NPM_DIRS:%=%/node_modules/.installed) \
			|| echo "npm could not install: the tests with solc, viem, ethers and cast skip" >&2; \
	else \
		echo "npm is not here: the tests with solc, viem, ethers and cast skip" >&2; \
	fi

%/node_modules/.installed: %/package.json %/package-lock.json
	@echo "installing the npm packages of $*"
	@cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

clean:
	rm -rf $(VENV) $(NPM_DIRS:%=%/node_modules) $(NPM_SLOW_DIRS:%=%/node_modules) build *.egg-info .coverage
	rm -rf mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Everything a checkout needs, with only Python (>= 3.11), git and make on the machine.
#
# The environment is .venv; the same with uv: uv venv && uv pip install -e .[dev] -c constraints.txt
#
# Paths stay relative, and programs are started as `.venv/bin/python -m ...`: a checkout may lie in a
# folder whose name has spaces, which neither make nor the first line of a script in bin/ can hold.

PYTHON ?= python3
# What `make test` gives to pytest, for instance: make test ARGS="-x tests/test_events.py"
ARGS ?= -n 4

python := .venv/bin/python
# Written last, so it says that the set-up is whole; its content is the checkout it was made for.
stamp := .venv/made-for

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint types layers bench pictures clean remake

help:  ## Say what the targets do
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 16

setup: $(stamp)  ## Make .venv with the pinned versions (instant when nothing changed)
	@:

# A copied or moved checkout would go on importing the old one, and an environment whose Python is
# gone cannot start: both are made again.
ifneq ($(shell [ -x $(python) ] && [ "$$(cat $(stamp) 2>/dev/null)" = "$$(pwd -P)" ] && echo whole),whole)
$(stamp): remake
endif

# setuptools goes first and the build is not isolated, so the build backend is a pinned one too.
# The path that an editable install leaves is made relative: Python 3.11 under LC_ALL=C does not start
# at all when it has letters beyond ASCII.
$(stamp): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "RLmaster needs Python 3.11 or newer, and '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)." \
	         "Name another one, for instance: make setup PYTHON=python3.12" >&2; exit 1; }
	@rm -f $(stamp)
	@$(python) -m pip --version >/dev/null 2>&1 || { \
	    echo "Making .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv --clear .venv; }
	@echo "Installing what constraints.txt pins into .venv (a few minutes the first time)"
	@$(python) -m pip install -qq --disable-pip-version-check -c constraints.txt setuptools
	@$(python) -m pip install -qq --disable-pip-version-check --no-build-isolation \
	    -c constraints.txt -e '.[dev]'
	@for file in .venv/lib/python3*/site-packages/__editable__.rlmaster-*.pth; do \
	    echo ../../../.. > "$$file"; done
	@pwd -P > $(stamp)

demo: setup  ## Train a Pong autoencoder for two minutes on this computer, and report on it
	@$(python) -m rlmaster launch experiments/pong_autoencoder.py --host local --yes --follow \
	    --rationale "The demo: how small an error does an autoencoder of Pong reach in two minutes?"

test: setup  ## Run the tests (ARGS="..." goes to pytest instead of -n 4)
	@tests/system_packages.sh
	@$(python) -m pytest $(ARGS)

check: lint types layers  ## All that can be said without running the code

lint: setup  ## Style, likely mistakes and format
	@$(python) -m ruff check
	@$(python) -m ruff format --check

types: setup  ## Types: strict on the control side and the app
	@$(python) -m pyright

layers: setup  ## Who may import whom
	@$(python) .venv/bin/lint-imports --no-logo

bench: setup  ## Side by side with other libraries: prints ratios
	@set -e; for file in $(wildcard benchmarks/[a-z]*.py); do echo "== $$file"; $(python) $$file; done

pictures: setup  ## Take the pictures of the app in docs/pictures anew, from real runs
	@$(python) docs/take_pictures.py

clean:  ## Remove the environment and what tools left behind; runs/ stays
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './runs/*' -prune -exec rm -rf {} +

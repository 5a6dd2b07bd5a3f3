# `make demo` and `make test` set up .venv by themselves; they need only make and Python 3.11.
# PYTHON=/path/to/python3.11 chooses another interpreter.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
IS_NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for candidate in python3.11 python3 python; do \
	"$$candidate" $(IS_NEW_ENOUGH) >/dev/null 2>&1 && { echo "$$candidate"; break; }; done)

.PHONY: demo test faults lint clean
.DEFAULT_GOAL := test

demo: $(INSTALLED)
	$(BIN)/python train.py demo --config conf/scenes/demo.yaml

test: lint
	$(BIN)/python -m pytest

# Every run of tests/faults is killed ten times instead of twice.
faults: $(INSTALLED)
	$(BIN)/python -m pytest tests/faults --kills 10

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg

# The stamp is younger than setup.cfg once everything that setup.cfg asks for is installed.
$(INSTALLED): setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later found: install one, or run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Installing into $(VENV): some gigabytes the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,diffusion,serving,deepspeed,sweep]'
	@touch $@

# Removes what tools leave behind; checkpoints/ and data/ stay.
clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
	find firm_lightning tests -name __pycache__ -type d -prune -exec rm -rf {} +

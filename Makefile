# Two commands set everything up: `make demo` and `make test`. Nothing but Python 3.11 or later and make is needed.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN = .venv/bin
PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test slow check docs clean

demo: .venv/ready
	@$(BIN)/lambent train --config examples/demo.yaml --out runs/demo --force
	@echo "(the command lives in .venv: . .venv/bin/activate)"

test: .venv/tools
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

slow: .venv/tools
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal --slow

check: .venv/tools
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

docs: .venv/docs
	@$(BIN)/python -m sphinx -W --keep-going -q -d build/doctrees -b html docs build/docs

# torch comes first and alone: asked for as somebody's dependency, pip would take the build with all of CUDA.
.venv/ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Lambent needs Python 3.11 or later: install it, or say make PYTHON=/path/to/python3"; exit 1; }
	@echo "Setting up .venv with $(PYTHON) (a few minutes the first time) …"
	@$(PYTHON) -m venv .venv
	@$(PIP) install --constraint constraints.txt torch
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

.venv/tools: .venv/ready
	@$(PIP) install --constraint constraints.txt --editable '.[test,dev]'
	@touch $@

.venv/docs: .venv/ready
	@$(PIP) install --constraint constraints.txt --editable '.[docs]'
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info

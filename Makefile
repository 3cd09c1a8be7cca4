# `make demo` and `make test` do everything on a fresh machine: environment, installation, run.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test slow lint clean

demo: $(VENV)/installed
	$(BIN)/alkit demo --out demo

test: $(VENV)/installed lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS)

slow: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# uv downloads torch several times faster than pip; compiled once, it is imported several times faster too.
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip install --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[cpu,dev]'
	touch $@

clean:
	rm -rf $(VENV) demo

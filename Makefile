# Two commands do everything: `make demo` and `make test`. Both set up their own .venv first.
PYTHON ?= python3
VENV := .venv
OLDEST := .venv-oldest
BIN := $(VENV)/bin
# The interpreters of `make versions`; those that the machine lacks are left out.
PYTHONS ?= python3.11 python3.12 python3.13
# Modules are compiled when they are first imported: most never are.
PIP := -m pip install --quiet --disable-pip-version-check --no-compile
SPREAD := -n 2 --dist worksteal
# Compiled modules are kept: both workers, all runs and the processes that tests start read them.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test lint types versions unit oldest fuzz broken-files soak bench mutation docs clean
.DEFAULT_GOAL := test

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "arrowstream needs Python >= 3.11; say which with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --editable '.[dev]'
	@touch $@

# The other end of the Polars versions that are supported; the package is taken from the checkout.
$(OLDEST)/.ready: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python $(PIP) 'polars==1.35.*' 'pyarrow==19.*' 'numpy<2.3' --editable '.[dev]'
	@touch $@

.data/flights.csv: $(VENV)/.ready
	$(BIN)/python examples/fetch_flights.py $@

demo: $(VENV)/.ready .data/flights.csv
	$(BIN)/python examples/flights.py

# The two environments are made at the same time.
test:
	@$(MAKE) -j 2 $(VENV)/.ready $(OLDEST)/.ready
	@$(MAKE) lint types unit oldest

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

# Tests with chosen examples cover every line and branch. Those of random examples, and those that repeat what others
# cover, run without the coverage tracer, which would double their time.
unit: $(VENV)/.ready .data/flights.csv
	$(BIN)/python -m pytest $(SPREAD) -m 'not (hypothesis or untraced)' --cov --cov-report=term --cov-fail-under=100 --durations=10
	$(BIN)/python -m pytest $(SPREAD) -m 'hypothesis or untraced' --durations=10

# A third of the random examples: `unit` tries all of them, and `fuzz` thirty times as many on both versions.
oldest: $(OLDEST)/.ready .data/flights.csv
	HYPOTHESIS_PROFILE=quick $(OLDEST)/bin/python -m pytest $(SPREAD) -m 'not once'

# All tests on each supported Python that the machine has, on the newest Polars, each in a .venv of its own.
versions: .data/flights.csv
	@for python in $(PYTHONS); do \
		$$python -c '' 2>/dev/null || { echo "$$python: not on this machine"; continue; }; \
		venv=.venv-$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "$$python: $$venv"; \
		$$python -m venv $$venv && $$venv/bin/python $(PIP) --editable '.[dev]' && \
		HYPOTHESIS_PROFILE=quick $$venv/bin/python -m pytest $(SPREAD) || exit 1; \
	done

# The tests of random examples, with thirty times as many of them, and other ones each time.
fuzz: $(VENV)/.ready $(OLDEST)/.ready
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest $(SPREAD) -m hypothesis -o timeout=0
	HYPOTHESIS_PROFILE=thorough $(OLDEST)/bin/python -m pytest $(SPREAD) -m hypothesis -o timeout=0

# Thousands of damaged CSV, NDJSON, JSON and Parquet files, each read beside a strict reader.
broken-files: $(VENV)/.ready $(OLDEST)/.ready
	$(BIN)/python -m tools.broken_files
	$(OLDEST)/bin/python -m tools.broken_files

# Kills runs at random moments while they write files, 200 times in each way of writing, and checks what is left.
# Then files of 1 GB are read and written within 300 MB.
soak: $(VENV)/.ready
	$(BIN)/python -m tools.soak
	LARGE_FILE_BYTES=1000000000 $(BIN)/python -m pytest tests/test_memory_limit.py

bench: $(VENV)/.ready
	$(BIN)/python $(PIP) --editable '.[dev,bench]'
	$(BIN)/python -m benchmarks

# Changes arrowstream in some thousand places, one at a time; tests/mutation.md says which no test notices.
mutation: $(VENV)/.ready
	$(BIN)/python $(PIP) --editable '.[dev,mutation]'
	$(BIN)/python -m tools.mutation learn
	$(BIN)/python -m tools.mutation run
	$(BIN)/python -m tools.mutation report

docs: $(VENV)/.ready
	$(BIN)/python -m docs.build

clean:
	rm -rf .venv* .data out build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* .mutation
	find arrowstream benchmarks docs examples tests tools -name __pycache__ -prune -exec rm -rf {} +

# Two commands do everything: `make demo` and `make test`. Both set up their own .venv first.
PYTHON ?= python3
VENV := .venv
OLDEST := .venv-oldest
BIN := $(VENV)/bin
# The interpreters of `make versions`; those that the machine lacks are left out.
PYTHONS ?= python3.11 python3.12 python3.13
# Modules are compiled when they are first imported: most never are.
INSTALL := install --quiet --quiet --disable-pip-version-check --no-compile
PIP := -m pip $(INSTALL)
# uv installs the same in a quarter of the time. It reads no settings of pip: it is told those that variables have; where
# it does not get on with them, pip installs.
UV := $(if $(PIP_INDEX_URL),UV_DEFAULT_INDEX=$(PIP_INDEX_URL)) $(if $(PIP_EXTRA_INDEX_URL),UV_INDEX="$(PIP_EXTRA_INDEX_URL)") \
	$(if $(PIP_FIND_LINKS),UV_FIND_LINKS="$(PIP_FIND_LINKS)") $(if $(PIP_CERT),SSL_CERT_FILE=$(PIP_CERT)) $(BIN)/uv pip install --quiet
# $(call install,PYTHON,WHAT)
install = $(UV) --python $(1) $(2) || $(BIN)/python -m pip --python $(1) $(INSTALL) $(2)
SITE := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
KAFKA := $(if $(shell which mvn 2>/dev/null),$(if $(shell which java 2>/dev/null),.data/kafka/.ready))
# Processes that run tests. Those of `make test` run at the same time, six on two cores: tests wait for a part of
# their time, those of servers for most of it. Each costs what importing and collecting the tests takes.
WORKERS ?= 2
SPREAD = -n $(WORKERS) --dist worksteal -p no:cacheprovider
# Compiled modules are kept: all workers, all runs and the processes that tests start read them.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: test-gpu bench-gpu demo demo-kafka demo-recover test loops modules lint types versions traced untraced oldest thorough fuzz broken-files broken-messages soak soak-kafka bench mutation docs notebooks site clean
.DEFAULT_GOAL := test

# Older versions of pip take twice as long for what follows.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "arrowstream needs Python >= 3.11; say which with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) 'pip>=24.1'
	@-$(BIN)/python $(PIP) --only-binary uv uv

$(VENV)/.ready: pyproject.toml | $(BIN)/python
	@$(call install,$(BIN)/python,--editable '.[dev]')
	@touch $@

# The oldest versions that are supported. What is not in this environment is found in the other one, which comes after
# it on the path.
$(OLDEST)/.ready: pyproject.toml | $(BIN)/python
	$(PYTHON) -m venv --without-pip $(OLDEST)
	@$(call install,$(OLDEST)/bin/python,'polars==1.35.*' 'pyarrow==19.*' 'numpy<2.3')
	@echo "import site; site.addsitedir('$$($(BIN)/python $(SITE))')" > "$$($(OLDEST)/bin/python $(SITE))/others.pth"
	@# CUDA's compilers are looked for in the environment's own folder only.
	@ln -sfn "$$($(BIN)/python $(SITE))/nvidia" "$$($(OLDEST)/bin/python $(SITE))/nvidia"
	@touch $@

.data/flights.csv: $(VENV)/.ready
	$(BIN)/python examples/fetch_flights.py $@

# The jars of a real Kafka server, for its tests: only where Maven and Java are installed.
.data/kafka/.ready: tests/servers/kafka.xml
	rm -rf .data/kafka
	mvn --batch-mode --quiet --file $< dependency:copy-dependencies -DincludeScope=runtime \
		-DoutputDirectory=$(CURDIR)/.data/kafka && touch $@ || \
		echo "Maven did not get Apache Kafka: its tests are skipped"

demo: $(VENV)/.ready .data/flights.csv
	$(BIN)/python examples/flights.py

# Kafka from nothing: an embedded broker, a writer, and a job that reads; ends by itself.
demo-kafka: $(VENV)/.ready .data/flights.csv
	$(BIN)/python examples/kafka_flights.py

# Exactly once: a job over Kafka that is killed three times; ends by itself.
demo-recover: $(VENV)/.ready .data/flights.csv
	$(BIN)/python examples/recover.py

# The environment of the oldest versions is made, and types are checked, while the first tests run.
test:
	@$(MAKE) -j 2 $(KAFKA) loops modules lint .data/flights.csv
	@echo "Types are checked and all tests run now, in parts at the same time; each shows its output when it has ended."
	@$(MAKE) -j 4 --no-print-directory --output-sync=target traced untraced oldest types

# Loops and modules are compiled once, not in each worker. What cannot be imported is shown by the tests themselves.
loops: $(VENV)/.ready
	@-$(BIN)/python -m tools.machine_code > /dev/null

modules: $(VENV)/.ready
	@-$(BIN)/python -m pytest --collect-only -qq > /dev/null

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

# Tests with chosen examples cover every line and branch, which the code itself notes: a tracer would double their time.
# Those of random examples, and those that repeat what others cover, do not count: of their cases some run, as on the
# oldest versions.
traced: $(VENV)/.ready .data/flights.csv $(KAFKA)
	$(BIN)/python -m tools.probes $(BIN)/python -m pytest $(SPREAD) -p tools.probes.plugin \
		-m 'not (hypothesis or untraced or thorough)' --durations=10

untraced: $(VENV)/.ready .data/flights.csv $(KAFKA)
	$(BIN)/python -m pytest $(SPREAD) -p tools.some_cases -m '(hypothesis or untraced) and not thorough' --durations=10

# Two fifths of the random examples: `untraced` tries all of them, and `fuzz` a hundred times as many on both versions.
oldest: $(VENV)/.ready $(OLDEST)/.ready .data/flights.csv
	@-$(OLDEST)/bin/python -c 'import arrowstream' > /dev/null
	HYPOTHESIS_PROFILE=quick $(OLDEST)/bin/python -m pytest $(SPREAD) -p tools.some_cases -m 'not (once or untraced or thorough)'

# All tests on each supported Python that the machine has, on the newest Polars, each in a .venv of its own.
versions: .data/flights.csv
	@for python in $(PYTHONS); do \
		$$python -c '' 2>/dev/null || { echo "$$python: not on this machine"; continue; }; \
		venv=.venv-$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "$$python: $$venv"; \
		$$python -m venv $$venv && $$venv/bin/python $(PIP) --editable '.[dev]' && \
		HYPOTHESIS_PROFILE=quick $$venv/bin/python -m pytest $(SPREAD) || exit 1; \
	done

# All tests on both versions, with all of their cases and products whole: also what `make test` leaves out of the oldest,
# or of both.
thorough: $(VENV)/.ready $(OLDEST)/.ready .data/flights.csv $(KAFKA)
	THOROUGH=1 $(BIN)/python -m pytest $(SPREAD)
	THOROUGH=1 $(OLDEST)/bin/python -m pytest $(SPREAD) -m 'not once'

# The tests of random examples with a hundred times as many of them, and other ones each time. All of them take many
# hours: they run in the random order of SEED until MINUTES are over, half of these on each version, and it is said
# which did not run.
fuzz: SEED := $(or $(SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' '))
fuzz: $(VENV)/.ready $(OLDEST)/.ready
	@failed=0; for python in $(BIN)/python $(OLDEST)/bin/python; do \
		HYPOTHESIS_PROFILE=thorough $$python -m pytest $(SPREAD) -m hypothesis -o timeout=0 -p tools.fuzz \
			--hypothesis-seed=$(SEED) --minutes=$$(echo "$(or $(MINUTES),60)" | awk '{print $$1 / 2}') || failed=1; \
	done; exit $$failed

# Thousands of damaged CSV, NDJSON, JSON and Parquet files, each read beside a strict reader.
broken-files: $(VENV)/.ready $(OLDEST)/.ready
	$(BIN)/python -m tools.broken_files
	$(OLDEST)/bin/python -m tools.broken_files

# A hundred thousand damaged messages of each kind, each decoded beside a strict reader.
broken-messages: $(VENV)/.ready $(OLDEST)/.ready
	$(BIN)/python -m tools.broken_messages
	$(OLDEST)/bin/python -m tools.broken_messages

# Kills runs at random moments while they write files, 200 times in each way of writing, and checks what is left.
# Then runs with checkpoints are killed and cancelled, 400 times each, and continued, files of 1 GB are read and written
# within 300 MB, and rows are joined with a table of 10 million.
# Last, jobs into every sink are killed at every failpoint, and at random moments until KILLS, MINUTES or Ctrl-C.
soak: $(VENV)/.ready $(KAFKA)
	$(BIN)/python -m tools.soak
	KILLS=400 $(BIN)/python -m pytest tests/checkpoints/test_kills.py
	CANCELS=20 $(BIN)/python -m pytest tests/checkpoints/test_cancelled.py
	LARGE_FILE_BYTES=1000000000 $(BIN)/python -m pytest tests/test_memory_limit.py
	DIMENSION_ROWS=10000000 $(BIN)/python -m pytest tests/test_join_memory.py -k large_table
	PYTHONPATH=tests $(BIN)/python -m tools.kill_soak $(if $(KILLS),--kills $(KILLS)) $(if $(MINUTES),--minutes $(MINUTES))

# Three rounds of a million Kafka messages, read by a group that rebalances each second while its server is killed and
# started again; then two minutes of a sink half as fast as its source; then a hundred kills of a job from Kafka to Kafka.
soak-kafka: $(VENV)/.ready $(KAFKA)
	PYTHONPATH=tests $(BIN)/python -m tools.kafka_soak --minutes 2
	KILLS=100 $(BIN)/python -m pytest tests/io/kafka/test_kafka_epochs.py

bench: $(VENV)/.ready $(KAFKA)
	$(BIN)/python $(PIP) --editable '.[dev,bench]'
	$(BIN)/python -m benchmarks

# On a machine with an NVIDIA GPU: the tests that need one, and what it costs and brings.
test-gpu: $(VENV)/.ready
	@$(BIN)/python -c "import sys; from arrowstream.gpu.presence import missing; \
	sys.exit(missing() and 'nothing is tested: ' + missing())"
	$(BIN)/python -m pytest -m gpu tests/gpu

bench-gpu: $(VENV)/.ready
	$(BIN)/python -m benchmarks.gpu

# Changes arrowstream in some thousand places, one at a time; tests/mutation.md says which no test notices.
mutation: $(VENV)/.ready
	$(BIN)/python $(PIP) --editable '.[dev,mutation]'
	$(BIN)/python -m tools.mutation learn
	$(BIN)/python -m tools.mutation run
	$(BIN)/python -m tools.mutation report

docs: $(VENV)/.ready
	$(BIN)/python -m docs.build

# Executes the notebooks and keeps what their cells show; `make test` compares. Cells with the tag `varies` keep what they have.
notebooks: $(VENV)/.ready .data/flights.csv
	$(BIN)/python -m tools.notebooks

# The documentation as a site, which needs no network. Its search needs a server, as browsers start no worker from a file.
site: $(VENV)/.ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "build/site/index.html; with search: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site"

clean:
	rm -rf .venv* .data out build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* .mutation
	find arrowstream benchmarks docs examples tests tools -name __pycache__ -prune -exec rm -rf {} +

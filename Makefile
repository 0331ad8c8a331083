# Everything sets itself up: `make run` and `make test` need Python >= 3.11 with venv, and make.
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	if "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo "$$p"; break; fi; done)
TESTS  ?= tests
BENCH  ?=

.PHONY: run test test-slurm acceptance faults hostile soak guarantees identity lint lock clean screenshots bench bench-day bench-peers bench-archive
.DEFAULT_GOAL := run

# The cockpit; where there is no terminal, the tour of the commands.
run: $(STAMP)
	@if [ -t 0 ] && [ -t 1 ] && [ -t 2 ]; then exec $(BIN)/exptui; \
	else echo "no terminal: the tour instead of the cockpit"; $(BIN)/python tools/tour.py; fi

# Every picture in screenshots/, from the real app on real runs.
screenshots: $(STAMP)
	$(BIN)/python tools/screenshots.py

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal $(TESTS)

# The how-to's of docs/trainers, typed as they stand, with real libraries in a venv of their own under build/ (PyTorch is large;
# pip's own settings say which build of it). Several minutes.
acceptance: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m acceptance.install
	ACCEPTANCE=1 $(BIN)/python -m pytest -p no:xdist -v tests/acceptance

# Runs, grids, verifications and faults on a real Slurm of three nodes on this machine, which is installed where it can be.
test-slurm: $(STAMP)
	@if PYTHONPATH=tests $(BIN)/python -m slurm.install; then SLURM=real PYTHONPATH=tests $(BIN)/python -m pytest -p no:xdist -rs $(or $(SLURM_TESTS),tests/slurm); \
	else echo "test-slurm: skipped"; fi

# Runs under a hundred hang-ups, kills and false process numbers each, and commands at once; counts in build/soak.json.
soak: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m soak

# Damage, hostile archives and fuzzing in their long form; the figures go to build/hostile.json.
hostile: $(STAMP)
	HOSTILE=full $(BIN)/python -m pytest -p no:xdist tests/hostile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# exptui beside its peers: medians, ratios and targets, reported and never asserted; writes docs/performance.md.
# Needs 5 GB of disk; BENCH="start --quick" measures one subject, or less.
bench: $(STAMP)
	$(BIN)/python -m benchmarks $(BENCH)

# Half an hour with 20 runs that start and end, logs that rotate and results that are deleted.
bench-day: $(STAMP)
	$(BIN)/python -m benchmarks day

# The peers of PyPI, each in a venv of its own under build/bench/peers; all are optional.
bench-peers: $(STAMP)
	$(BIN)/python -m benchmarks.peers

# A fault at every system call of every operation that writes, and mutants that must be found; ends with figures.
faults: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m faults.sweep

# Sealing and checking 1 GB beside tar, pigz and gzip; needs 5 GB of disk and about four minutes.
bench-archive: $(STAMP)
	$(BIN)/python benchmarks/archive.py

# One run archived by every supported Python that is installed: the identities have to be equal.
identity: $(STAMP)
	$(BIN)/python tools/identity.py

# docs/guarantees.md: what was tested and how often, after faults, hostile and soak.
guarantees: $(STAMP)
	$(BIN)/python tools/guarantees.py

# Refreshes the locked versions; names no index.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --all-extras \
		--quiet pyproject.toml -o requirements.txt

$(STAMP): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "exptui needs Python 3.11 or newer with its venv module (python3-venv on Debian)." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (once)…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache

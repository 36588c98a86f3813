# Two commands: `make conformance` judges and reports, `make test` tests the project itself.
PYTHON ?= python3
BIN := .venv/bin
# One framework a process; workers take whole files, which keep what they have computed, as they come:
# by the number of their tests the longest would be begun last. One thread each: two workers with a
# thread a core each wait for one another.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -n 2 --dist loadfile --no-loadscope-reorder
JAX := $(wildcard conformance/selftest/test_jax_*.py)
TENSORFLOW := $(wildcard conformance/selftest/test_tensorflow_*.py conformance/selftest/test_keras_*.py)
# JAX compiles a program for every shape: keep them from run to run.
export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/.venv/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS := 0
export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES := -1
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: conformance test mutants mutation bench accuracy gpu vectors clean

conformance: .venv/ready
	$(BIN)/python -m tuned_contrastive.conformance all --json report.json --html report.html

test: .venv/ready .pkg/tuned_contrastive
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) $(addprefix --ignore=,$(JAX) $(TENSORFLOW))
	$(PYTEST) $(JAX)
	$(PYTEST) $(TENSORFLOW)

# That a mutant fails no test but those of its clause: the whole suite for each of them.
mutants: .venv/ready
	$(BIN)/python -m tuned_contrastive.conformance --mutants
	$(BIN)/python -m pytest -q -m exact conformance/selftest/test_mutants.py

# Mutants that nobody chose (conformance/mutation.md), in the working tree, so one part after the other.
mutation:
	$(MAKE) mutation-reference
	$(MAKE) mutation-torch

mutation-%: .venv/ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[mutation]"
	$(BIN)/cosmic-ray baseline conformance/$@.toml
	$(BIN)/cosmic-ray init --force conformance/$@.toml .venv/$@.sqlite
	$(BIN)/cr-filter-operators .venv/$@.sqlite conformance/$@.toml
	$(BIN)/cosmic-ray exec conformance/$@.toml .venv/$@.sqlite
	$(BIN)/cr-report --show-diff --surviving-only .venv/$@.sqlite

# Everything of the targets, on an idle machine; BENCH=--quick shows that it works, in bench-results.
BENCH :=
RESULTS := $(if $(BENCH),bench-results,benchmarks/results)
bench: .venv/ready
	mkdir -p $(RESULTS)
	$(BIN)/python -m tuned_contrastive.benchmarks speed $(BENCH) --variants --json $(RESULTS)/speed.json > /dev/null
	$(BIN)/python -m tuned_contrastive.benchmarks memory $(BENCH) --json $(RESULTS)/memory.json > /dev/null
	$(BIN)/python -m tuned_contrastive.benchmarks profile $(BENCH) --json $(RESULTS)/profile.json > /dev/null
	$(BIN)/python -m tuned_contrastive.benchmarks report --results $(RESULTS) $(if $(BENCH),,--readme README.md)

# The paper's claims about accuracy: 2.06 hours summed over its runs, two at a time, on a machine that
# had other work; goes on where it was stopped.
# BENCH=--quick shows that it works, in accuracy-results.
accuracy: .venv/ready
	$(BIN)/python -m tuned_contrastive.benchmarks accuracy $(BENCH)

# On a machine with torch, jax, numpy, pytest, hypothesis and mpmath only, and no network.
OUTPUT := gpu-results
gpu: .pkg/tuned_contrastive
	PYTHONPATH=.pkg $(PYTHON) -m tuned_contrastive.benchmarks gpu --output $(OUTPUT)

vectors: .venv/ready
	$(BIN)/python -m tuned_contrastive.reference.make_vectors

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

# mypy sees the package under its name through this view of the root.
.pkg/tuned_contrastive:
	mkdir -p .pkg
	ln -sfn .. $@

clean:
	rm -rf .venv .pkg build dist *.egg-info
